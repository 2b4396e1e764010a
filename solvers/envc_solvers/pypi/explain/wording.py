"""The text of the subjects of a failed search. No other module turns subjects into text.

`conflict` has the headline and puts the parts together.
"""

from __future__ import annotations

from collections.abc import Iterable

from envc_solvers.errors import ProjectNotFound
from envc_solvers.origin import ShowPlace
from envc_solvers.pypi.explain.subjects import (
    Cause,
    Conflicting,
    FromUrl,
    NoFile,
    NoProject,
    NoVersion,
    OnlySdists,
    ProvidedOutside,
    Refused,
    Subject,
)
from envc_solvers.pypi.language.index import was_yanked
from envc_solvers.pypi.language.specifier import parsed
from envc_solvers.pypi.language.tags import version_of
from envc_solvers.pypi.search.rejection import Rejection

_MOST_REASONS = 3  # that one line names


def subject_text(subject: Subject) -> str:
    """Why no version of the project can be chosen, in one line without the project's name."""
    match subject:
        case Conflicting():
            return "these requirements cannot all be met"
        case NoProject():
            return str(ProjectNotFound(subject.project, subject.sources, subject.nearest))
        case NoVersion():
            newest = f"; the newest is {subject.newest}" if subject.newest else ""
            return f"there is no version{_that_match(subject.specifiers)}{newest}"
        case NoFile():
            return f"no file{_that_match(subject.specifiers)} is for this target"
        case OnlySdists():
            if subject.specifiers:
                return f"only source distributions match {' and '.join(subject.specifiers)}"
            return "there are only source distributions"
        case Refused():
            reasons = "; ".join(_rejection(versions, why) for versions, why in subject.rejected[:_MOST_REASONS])
            if subject.every:
                return f"no version{_that_match(subject.specifiers)} can be used: {reasons}"
            return f"some versions{_that_match(subject.specifiers, 'match')} cannot be used: {reasons}"
        case FromUrl():
            return "a direct reference cannot be chosen from an index"
        case ProvidedOutside():
            return (
                f"{subject.by} does not meet {'these requirements' if len(subject.causes) > 1 else 'this requirement'}"
            )
        case _:
            raise AssertionError(f"no words for {type(subject).__name__}")


def nearest_files(subject: Subject) -> tuple[str, ...]:
    """The files nearest to a usable one, with the reasons why they cannot be used."""
    match subject:
        case NoFile():
            sdist = version_of(subject.sdist, subject.project)
            has_newer = sdist is not None and all(
                (wheel := version_of(each.file, subject.project)) is None or wheel < sdist for each in subject.nearest
            )
            sources = (f"{subject.sdist} is a source distribution",) if has_newer else ()
            return (*sources, *(f"{each.file} {each.reason}" for each in subject.nearest))
        case OnlySdists():
            return subject.sdists
        case _:
            return ()


def requirement_text(cause: Cause) -> str:
    """The requirement of a cause; of several lower bounds, the lowest."""
    return f"{cause.requirement} or more" if cause.open_ended else cause.requirement


def cause_text(cause: Cause, show: ShowPlace) -> str:
    """A requirement with the chain of packages behind it, or with the place where it is written."""
    requirement = requirement_text(cause)
    if cause.chain:
        steps = [f"{step.package} {step.versions}" for step in reversed(cause.chain)]
        return f"{requirement}  required by {' ← '.join(steps)} ← {cause.root}"
    place = show(cause.origin) if cause.origin else ""
    where = ", ".join(part for part in ("constraint" if cause.constraint else "", place) if part)
    return f"{requirement}  ({where})" if where else requirement


def span(versions: Iterable[str]) -> str:
    """Versions as one range, with their number: ``1.0 to 1.2 (3 versions)``. They were tried in order."""
    ordered = sorted(versions, key=parsed)
    if not ordered:
        return ""
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]} ({len(ordered)} versions)"


def _that_match(specifiers: tuple[str, ...], verb: str = "matches") -> str:
    return f" that {verb} {' and '.join(specifiers)}" if specifiers else ""


def _rejection(versions: tuple[str, ...], why: Rejection) -> str:
    """``1.0 was yanked``, ``1.0 to 1.2 (3 versions) require Python >=3.12``."""
    return f"{span(versions)} {_verdict(why, len(versions) > 1)}"


def _verdict(why: Rejection, plural: bool) -> str:
    match why.kind:
        case "too-new":
            return f"{'were' if plural else 'was'} uploaded after the cut-off"
        case "no-upload-time":
            return f"{'have' if plural else 'has'} no upload time"
        case "requires-python":
            return f"{'require' if plural else 'requires'} Python {why.detail}"
        case "yanked":
            return was_yanked(why.detail, plural=plural)
        case "prerelease":
            return "are pre-releases" if plural else "is a pre-release"
        case "metadata":
            return f"{'have' if plural else 'has'} metadata that cannot be used: {why.detail}"
        case "sdist":
            return "exist as source distributions only" if plural else "exists as source distribution only"
        case "no-file":
            return f"{'have' if plural else 'has'} no file for this target"
        case "url":
            return f"{'require' if plural else 'requires'} {why.detail} from a URL"
