"""Turns problems without a solution into refusals: the solver's explanation with notes from the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from envc.errors import EnvcError, Refusal, SourceUnreachable, Unsolvable
from envc_solvers.errors import SolverError
from envc_solvers.origin import KeyPath, Phrase, ShowPlace, render_key_path
from envc_solvers.passed_over import reason_text

if TYPE_CHECKING:
    from packaging.version import Version

    from envc.locking.plan.problems import SharedProblem
    from envc_solvers.passed_over import PassedOver
    from envc_solvers.pypi.explain.conflict import PyPIConflict
    from envc_solvers.pypi.explain.subjects import Subject
    from envc_solvers.pypi.problem import PyPIProblem


class Message(msgspec.Struct, frozen=True):
    """An explanation that is one text and names no place."""

    text: str
    details: dict[str, object]

    def lines(self, show: ShowPlace) -> list[str]:
        return self.text.splitlines()

    def data(self, show: ShowPlace) -> dict[str, object]:
        return self.details


def pypi_refusal(shared: SharedProblem, error: SolverError) -> Refusal:
    """The refusal for an error of the PyPI solver."""
    from envc_solvers.pypi.explain.conflict import PyPIGaveUp, PyPIUnsolvable

    title, steps = title_of(shared), tuple(shared.steps)
    if isinstance(error, PyPIUnsolvable):
        conflict = _with_build(shared, error.conflict)
        return Refusal(
            title=title,
            why=conflict,
            steps=steps,
            groups=_conflicting_groups([origin for _, origin in conflict.roots]),
            notes=tuple(_notes(shared, conflict)),
            suggestion=conflict.suggestion,
        )
    if isinstance(error, PyPIGaveUp):
        suggestion = "set a lower bound for the project named first, or raise --time-limit or --max-candidates"
        return Refusal(title=title, why=error, steps=steps, suggestion=suggestion)
    first = shared.step_targets[0]
    details: dict[str, object] = {"target": first.target.name, "python": first.python.text, "reason": str(error)}
    return Refusal(title=title, why=Message(str(error), details), steps=steps)


def conda_error(title: str, target: str, error: SolverError) -> EnvcError:
    """Unsolvable for an error of the conda solver; SourceUnreachable for a record that cannot be used."""
    from envc_solvers.conda.explain.conflict import CondaUnsolvable
    from envc_solvers.conda.language.interpreters import OtherInterpreter
    from envc_solvers.conda.language.record import RecordUnusable

    if isinstance(error, RecordUnusable):
        place = f"the record of {error.subdir}/{error.file}"
        return SourceUnreachable(error.channel, place, error.reason, "report it to the maintainers of the channel")
    if isinstance(error, CondaUnsolvable):
        return Unsolvable((Refusal(title=title, why=error.conflict, suggestion=error.conflict.suggestion),))
    suggestion = error.suggestion if isinstance(error, OtherInterpreter) else ""
    why = Message(str(error), {"target": target, "reason": str(error)})
    return Unsolvable((Refusal(title=title, why=why, suggestion=suggestion),))


def mixed_error(shared: SharedProblem, target: str, error: SolverError) -> EnvcError:
    """Unsolvable for an error of the mixed solver, which may be about one kind alone."""
    from envc_solvers.mixed.conflict import MixedGaveUp, MixedUnsolvable
    from envc_solvers.pypi.explain.conflict import PyPIGaveUp, PyPIUnsolvable

    if isinstance(error, PyPIUnsolvable | PyPIGaveUp):
        return Unsolvable((pypi_refusal(shared, error),))
    if not isinstance(error, MixedUnsolvable | MixedGaveUp):
        return conda_error(title_of(shared), target, error)
    why = error.conflict if isinstance(error, MixedUnsolvable) else error
    return Unsolvable((Refusal(title=title_of(shared), why=why, steps=tuple(shared.steps), suggestion=why.suggestion),))


def _could_be_built(subject: Subject) -> bool:
    """Whether a project has sources, and nothing but a build would give it a file for the target."""
    from envc_solvers.pypi.explain.subjects import NoFile, OnlySdists
    from envc_solvers.pypi.language.tags import version_of

    if isinstance(subject, NoFile):
        if not subject.sdist:
            return False
        # Wheels of an older version are no way out: a Python or system that fits them would not get the newest one.
        newest = version_of(subject.sdist, subject.project)
        return not any(
            (file.above_floor or file.other_python) and not _is_older(version_of(file.file, subject.project), newest)
            for file in subject.nearest
        )
    return isinstance(subject, OnlySdists)


def _is_older(version: Version | None, newest: Version | None) -> bool:
    return version is not None and newest is not None and version < newest


def _with_build(shared: SharedProblem, conflict: PyPIConflict) -> PyPIConflict:
    """The conflict with the suggestion to build what the manifest requires and what exists as source only.

    An older version, which the solver suggests, would be refused for the same reason.
    """
    direct = {dependency.requirement.name for dependency in shared.direct}
    sources = [
        subject.project
        for subject in conflict.subjects
        if _could_be_built(subject)
        and subject.project not in direct
        and all(not cause.chain for cause in subject.causes)
    ]
    if not sources:
        return conflict
    listed = ", ".join(f'"{name}"' for name in sorted({*shared.buildable, *sources}))
    options = " ".join(f"--build {name}" for name in sources)
    suggestion = f"build = [{listed}] under [policy], which `envc lock {options}` writes"
    return msgspec.structs.replace(conflict, suggestion=suggestion)


def _notes(shared: SharedProblem, conflict: PyPIConflict) -> Iterator[Phrase]:
    """Notes on facts that the solver does not know: direct references in the manifest, and possible builds."""
    direct = {dependency.requirement.name: dependency.at for dependency in shared.direct}
    for subject in conflict.subjects:
        if subject.project in direct:
            yield f"{subject.project} can only come from the reference at ", direct[subject.project]
        elif _could_be_built(subject):
            yield (f'to build {subject.project} from source, write build = ["{subject.project}"] under [policy]',)


def _conflicting_groups(origins: list[KeyPath]) -> tuple[str, ...]:
    """The groups that exclude each other: those of a failing set in which every requirement comes from a group."""
    names = {render_key_path(origin[1:2]) for origin in origins if origin[:1] == ("groups",)}
    is_of_groups = all(origin[:1] == ("groups",) for origin in origins)
    return tuple(sorted(names)) if len(names) > 1 and is_of_groups else ()


def title_of(shared: SharedProblem) -> str:
    """``steps prepare, train on linux-64 (Python 3.12)``."""
    steps, first = shared.steps, shared.step_targets[0]
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)} on {first.target.name} (Python {first.python.text})"


class OlderVersions(msgspec.Struct, frozen=True):
    """The explanation of a solution with older versions than the policy allows."""

    found: tuple[PassedOver, ...]
    origins: dict[str, tuple[tuple[str, KeyPath], ...]]  # by name: the requirements of the manifest, with their places

    def lines(self, show: ShowPlace) -> list[str]:
        lines = []
        for one in self.found:
            places = [f"{requirement}{f'  ({show(at)})' if at else ''}" for requirement, at in self.origins[one.name]]
            lines += [f"  {place}" for place in places]
            lines.append(
                f"{one.name} would fall back to {one.version}: {one.newer} {reason_text(one.kind, one.detail)}"
            )
        return lines

    def data(self, show: ShowPlace) -> dict[str, object]:
        return {
            "passed-over": [
                {
                    "name": one.name,
                    "version": one.version,
                    "newer": one.newer,
                    "reason": one.kind,
                    "text": reason_text(one.kind, one.detail),
                    "build": list(one.must_build),
                    "requirements": [
                        {"requirement": requirement, "origin": show(at) if at else ""}
                        for requirement, at in self.origins[one.name]
                    ],
                }
                for one in self.found
            ]
        }


def passed_over_refusal(shared: SharedProblem, problem: PyPIProblem, found: tuple[PassedOver, ...]) -> Refusal:
    """The refusal for newer releases that must not be passed over, with the ways out."""
    origins = {
        one.name: tuple(
            (str(root.requirement), root.origin) for root in problem.roots if root.requirement.name == one.name
        )
        for one in found
    }
    ways = []
    if sources := sorted({name for one in found for name in one.must_build}):
        listed = ", ".join(f'"{name}"' for name in sorted({*shared.buildable, *sources}))
        options = " ".join(f"--build {name}" for name in sources)
        older = " and ".join(f"{one.name} {one.version}" for one in found if one.kind == "sdist")
        ways += [
            f"build = [{listed}] under [policy], which `envc lock {options}` writes (a build runs code of the package "
            "on this machine)",
            f'policy.sdist = "older", which locks {older}',
        ]
    for one in found:
        if one.kind == "url":
            text = f"{one.detail} @ {_address(one.url)}" if one.url else f"{one.detail} @ URL"
            ways += [
                f'"{text}" among the requirements of the step (with its name in policy.build unless it is a wheel)',
                f'policy.direct-dependencies = "older", which locks {one.name} {one.version}',
            ]
    return Refusal(
        title=title_of(shared),
        why=OlderVersions(found, origins),
        steps=tuple(shared.steps),
        suggestion="; or ".join(dict.fromkeys(ways)),
    )


def _address(url: str) -> str:
    """A URL of a package as a manifest may name it, without login."""
    from envc.fetch.net.credentials import split_credentials

    try:
        scheme, separator, rest = url.rpartition("+")  # "git+https" is not a scheme that can be split
        return f"{scheme}{separator}{split_credentials(rest)[0]}"
    except ValueError:
        return "URL"
