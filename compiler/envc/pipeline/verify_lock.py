"""``envc lock --verify``: whether solving again gives the same lock, and whether the sources still have its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from envc.context import Context
from envc.errors import OfflineMiss
from envc.fetch.net.urls import local_path
from envc.fetch.pypi.indexes import Indexes
from envc.fetch.standalone import archive_urls, stated_digest
from envc.locking.lockfile.dump import dumps
from envc.locking.plan.expand import StepTargetId, lock_options
from envc.locking.plan.link import link
from envc.locking.plan.problems import SharedProblem, pose_problems
from envc.locking.plan.project import Project
from envc.locking.resolve.open import open_origins
from envc.locking.resolve.session import solve_problems
from envc.locking.review.changes import Change, changes
from envc.locking.review.yanked import Listed, YankedPackage, with_yanked, yanked
from envc.model.digest import Sha256
from envc.model.graph import Artifact, Build, Choice, KnownRequirements, LockGraph, Package, SourceFile
from envc.model.manifest import Manifest
from envc.pipeline.places import located
from envc.pipeline.project import require_fresh_lock
from envc.shipping.deliver.verify import Problem
from envc_solvers.pypi.language.index import File

_Chosen = tuple[dict[StepTargetId, tuple[Choice, ...]], dict[StepTargetId, int]]  # choices and `link`'s patches
_REQUESTS = 16  # sent at the same time


class Rechecked(msgspec.Struct, frozen=True, kw_only=True):
    """The result of checking a lock. The lock is good if there are no problems."""

    lock: str  # path of the lock file
    checked: int  # files
    problems: tuple[Problem, ...]  # differences from the lock, sorted
    yanked: tuple[YankedPackage, ...]  # packages that may still be used, but were yanked by their authors, sorted
    restored: tuple[str, ...]  # files that the lock records as yanked but that no longer are, sorted
    newer: tuple[Change, ...]  # how a lock without pins would differ


def recheck(project: Project, context: Context) -> Rechecked:
    """Solve everything again in memory, once with the lock's pins preferred and once without pins.

    The first solution must give the same lock, byte for byte. Otherwise a pin differs from its source, or violates a
    requirement or the policy. Differences of the second solution are reported as newer packages, not as problems.

    Raises NoLock, StaleLock, and Unsolvable if the requirements can no longer be solved.
    """
    graph = require_fresh_lock(project)
    with located(project.manifest):
        if project.manifest.has_limits:
            from envc.pipeline.limit_files import with_fetched_files

            project = with_fetched_files(project, context)
        return _recheck(project, graph, context)


def _recheck(project: Project, graph: LockGraph, context: Context) -> Rechecked:
    unpinned = pose_problems(project.manifest, project.step_targets, now=context.now)
    problems, yank_reasons, checked = _look_for_files(project, graph, context)
    if not problems:
        again = _solve_again(project, graph, context)
        problems = tuple(_differences(graph, again))
        if not problems and dumps(graph) != dumps(again):
            problems = (Problem(where="environments", reason="do not match what would be solved"),)
    newest = _link(project, _choices(unpinned, project, context, None), graph)
    return Rechecked(
        lock=str(project.manifest.lock_path),
        checked=checked,
        problems=problems,
        yanked=yanked(with_yanked(graph, yank_reasons)),
        restored=tuple(sorted(_restored(graph, yank_reasons))),
        newer=changes(graph, newest),
    )


def _solve_again(project: Project, graph: LockGraph, context: Context) -> LockGraph:
    """The lock that results if the locked versions are preferred. Each environment of the lock is solved separately."""
    shared: list[SharedProblem] = []
    for environment in graph.environments:
        step_targets = [step_target for step_target in project.step_targets if step_target.step in environment.steps]
        shared += pose_problems(project.manifest, step_targets, now=context.now, lock=graph)
    return _link(project, _choices(tuple(shared), project, context, graph), graph)


def _choices(
    problems: tuple[SharedProblem, ...], project: Project, context: Context, lock: LockGraph | None
) -> _Chosen:
    known: KnownRequirements = {}
    choices: dict[StepTargetId, tuple[Choice, ...]] = {}
    patches: dict[StepTargetId, int] = {}
    for shared, solution in solve_problems(problems, project.manifest, context, lock=lock).solutions:
        for step_target in shared.step_targets:
            chosen = (Choice.of_pin(pin, step_target.target, step_target.python, known) for pin in solution.pins)
            choices[step_target.id], patches[step_target.id] = tuple(chosen), solution.patch
    return choices, patches


def _link(project: Project, chosen: _Chosen, graph: LockGraph) -> LockGraph:
    choices, patches = chosen
    options = lock_options(project.manifest, project.step_targets)
    return link(project.step_targets, choices, options, graph, patches=patches)


def _look_for_files(
    project: Project, graph: LockGraph, context: Context
) -> tuple[tuple[Problem, ...], dict[Listed, str | None], int]:
    """Look up the locked files at their sources again, interpreter archives included.

    Returns the problems, why the index yanks each file (None for files that it does not yank), and the number of files.
    """
    fresh = msgspec.structs.replace(context, refresh=not context.offline)
    with open_origins(project.manifest, fresh) as origins:
        known = {name for name, source in project.manifest.sources.items() if source.kind != "conda"}
        packages = [package for package in graph.packages if package.kind == "pypi" and package.source in known]
        with ThreadPoolExecutor(_REQUESTS) as pool:
            builds = graph.builds_by_wheel()
            listings = list(pool.map(lambda package: _listed(package, builds, origins, fresh), packages))
            archives = [
                (package, artifact)
                for package in graph.packages
                if package.kind == "interpreter"
                for artifact in package.artifacts
            ]
            archive_problems = pool.map(
                lambda archive: _look_for_archive(archive, project.manifest, origins, context), archives
            )
            problems = [problem for problem in archive_problems if problem is not None]
    yank_reasons: dict[Listed, str | None] = {}
    for package, listed in zip(packages, listings, strict=True):
        package_problems, package_reasons = _compare(package, builds, listed)
        problems += package_problems
        yank_reasons |= package_reasons
    file_count = len(archives) + sum(len(package.artifacts) for package in packages)
    return tuple(sorted(problems)), yank_reasons, file_count


def _look_for_archive(
    archive: tuple[Package, Artifact], manifest: Manifest, origins: Indexes, context: Context
) -> Problem | None:
    """Check the archive of an interpreter without downloading it. Returns its problem, or None.

    Raises SourceUnreachable, and OfflineMiss if a server would have to be contacted.
    """
    package, artifact = archive
    listed = stated_digest(artifact.file, manifest.standalone, manifest.root)
    if listed not in (None, artifact.sha256):
        return Problem(
            where=artifact.file, reason=f"the table of archives has another file of this name, with sha256 {listed}"
        )
    what = f"{artifact.file} of {package.name} {package.version}"
    for url in archive_urls(artifact.file, manifest.standalone, context.environ, manifest.root):
        if url.startswith("file:"):
            found = local_path(url).is_file()
        elif context.offline:
            raise OfflineMiss(what)
        else:
            with origins.context.client.open(package.source, what, url, headers={"Range": "bytes=0-0"}) as answer:
                found = answer.status in (200, 206)
        if found:
            return None
    return Problem(where=artifact.file, reason="is no longer at its source")


def _listed(
    package: Package, builds: Mapping[Sha256, tuple[Build, ...]], origins: Indexes, context: Context
) -> list[File]:
    """Every file that the source of a package lists for it. If no page states the digest of a locked file, the file is
    asked for again.
    """
    wanted = {locked.file for _, locked in _served(package, builds)}
    files = []
    for file in origins.files(package.source, package.name):
        if not file.sha256 and file.name in wanted and not context.offline:
            digest, _ = origins.identify(package.source, package.name, file)
            file = msgspec.structs.replace(file, sha256=digest)
        files.append(file)
    return files


def _served(
    package: Package, builds: Mapping[Sha256, tuple[Build, ...]]
) -> Iterator[tuple[Artifact, Artifact | SourceFile]]:
    """Each artifact with the file that its source has. For a built wheel, that is what the wheel was built from."""
    for artifact in package.artifacts:
        sdists = [build.sdist for build in builds.get(artifact.sha256, ()) if build.sdist is not None]
        if not sdists:
            yield artifact, artifact
        for sdist in sdists:
            yield artifact, sdist


def _compare(
    package: Package, builds: Mapping[Sha256, tuple[Build, ...]], listed: Iterable[File]
) -> tuple[list[Problem], dict[Listed, str | None]]:
    files = {file.name: file for file in listed}
    problems: list[Problem] = []
    yank_reasons: dict[Listed, str | None] = {}
    for artifact, locked in _served(package, builds):
        file = files.get(locked.file)
        if file is None:
            problems.append(Problem(where=locked.file, reason=f"{package.source} no longer has this file"))
        elif file.sha256 and file.sha256 != locked.sha256:
            problems.append(
                Problem(
                    where=locked.file,
                    reason=f"{package.source} has another file of this name, with sha256 {file.sha256}",
                )
            )
        else:
            yank_reasons[package.source, artifact.sha256] = file.yanked
    return problems, yank_reasons


def _restored(graph: LockGraph, yank_reasons: Mapping[Listed, str | None]) -> Iterable[str]:
    """The files that the lock records as yanked, but their index no longer does."""
    for package in graph.packages:
        for artifact in package.artifacts:
            if artifact.yanked is not None and yank_reasons.get((package.source, artifact.sha256), "unknown") is None:
                yield artifact.file


def _differences(old: LockGraph, new: LockGraph) -> Iterable[Problem]:
    """The packages that differ between the two locks."""
    before = {package.id: package for package in old.packages}
    after = {package.id: package for package in new.packages}
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield Problem(where=name, reason="would not be locked")
        elif name not in before:
            yield Problem(where=name, reason=f"{after[name].version} would be locked as well")
        elif before[name].version != after[name].version:
            reason = f"is locked at {before[name].version}, but {after[name].version} would be locked"
            yield Problem(where=name, reason=reason)
        elif before[name] != after[name]:
            different = [f for f in Package.__struct_fields__ if getattr(before[name], f) != getattr(after[name], f)]
            yield Problem(where=name, reason=f"its {' and '.join(different)} would differ")
