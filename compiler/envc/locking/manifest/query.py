"""query: a command line of ``envc solve`` as the manifest of a single step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from envc.errors import UsageError
from envc.locking.manifest.cutoffs import BadCutoff, parse_cutoff
from envc.locking.manifest.direct import read_reference
from envc.locking.manifest.python import BadPython, choose_python, parse_python
from envc.locking.manifest.report import Report, suggest_name
from envc.locking.manifest.sources import BUILT_IN
from envc.model.kinds import Prereleases, Resolution
from envc.model.manifest import Dependencies, Manifest, ManifestPolicy, PyPIDependency, Source, Step
from envc_solvers.pypi.language import requirement as requirements
from envc_solvers.target import PLATFORMS

STEP = "solve"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The options as given."""

    platform: str
    python: str
    pypi: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()  # URLs, by priority; () is the default index
    exclude_newer: str | None = None
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    prereleases: Prereleases = "if-necessary"
    resolution: Resolution = "highest"


def parse_query(query: Query) -> Manifest:
    """The manifest with the same requirements. Raises UsageError, which names the option."""
    if not query.pypi:
        raise UsageError("there is nothing to solve", "name a requirement: `envc solve --pypi 'requests>=2'`")
    if query.platform not in PLATFORMS:
        near = suggest_name(query.platform, PLATFORMS)
        raise UsageError(f"--platform {query.platform}: there is no such platform", near or ", ".join(PLATFORMS))
    try:
        python = parse_python(query.python)
        choose_python(python)
    except BadPython as error:
        raise UsageError(f"--python {query.python}: {error}", error.suggestion) from None
    try:
        cutoff = parse_cutoff(query.exclude_newer) if query.exclude_newer is not None else None
    except BadCutoff as error:
        raise UsageError(f"--exclude-newer {query.exclude_newer}: {error}", error.suggestion) from None
    sources = {name: Source(name=name, kind=kind) for name, kind in BUILT_IN.items()}
    declared = {
        f"index-{number}": Source(name=f"index-{number}", kind="pypi", url=url)
        for number, url in enumerate(query.indexes, 1)
    }
    step = Step(
        name=STEP,
        interpreter="host",
        dependencies=Dependencies(pypi=_requirements("--pypi", query.pypi)),
    )
    return Manifest(
        path=Path("envc-solve.toml"),  # neither read nor written
        name=STEP,
        targets=(query.platform,),
        python=python,
        indexes=tuple(declared) or ("pypi",),
        sources=sources | declared,
        steps={STEP: step},
        exclude_newer=cutoff,
        constraints=Dependencies(pypi=_requirements("--constraint", query.constraints)),
        overrides=Dependencies(pypi=_requirements("--override", query.overrides)),
        # Without a manifest there is no place for a policy: older versions are taken, and reported.
        policy=ManifestPolicy(
            prereleases=query.prereleases, resolution=query.resolution, sdist="older", direct_dependencies="older"
        ),
    )


def _requirements(option: str, texts: Iterable[str]) -> tuple[PyPIDependency, ...]:
    found = []
    for text in texts:
        try:
            requirement = requirements.parse(text)
        except requirements.InvalidRequirement as error:  # an attribute of the module, which imports it on access
            raise UsageError(f"{option} {text}: {str(error).splitlines()[0]}", "write name[extras]>=version") from None
        if not requirement.url:
            found.append(PyPIDependency(requirement=requirement, at=(option,)))
            continue
        report = Report()
        found.append(read_reference(report, (option,), requirement))
        for mistake in report.mistakes:
            raise UsageError(f"{option} {requirement.name}: {mistake.reason}", mistake.suggestion)
    return tuple(found)
