"""The text of the reasons of a conflict. No other module turns reasons into text."""

from __future__ import annotations

from envc_solvers.conda.explain.reasons import (
    Constrains,
    ForbiddenChoice,
    Hidden,
    Limiting,
    NoBuild,
    NoCommonVersion,
    NoPackage,
    NoVersion,
    Reason,
    Unreadable,
    Virtual,
)
from envc_solvers.conda.search.table import HiddenBy
from envc_solvers.origin import ShowPlace, render

_MOST_SPECS = 3  # spelt out in one line
_MOST_BUILDS = 4
_LONGEST = 60  # characters of specs that are cut off


def reason_text(reason: Reason, show: ShowPlace) -> str:
    """The reason in one line."""
    match reason:
        case Limiting():
            verb = "allows only" if isinstance(reason, Constrains) else "needs"
            return f"{reason.package} {verb} {_needed(reason)}"
        case NoPackage():
            return _no_package(reason)
        case NoVersion():
            specs = " or ".join(reason.specs[:_MOST_SPECS])
            return f"no version of {reason.on} matches {specs}; there are {reason.versions}"
        case NoCommonVersion():
            return f"no {reason.on} meets {' and '.join(reason.specs)}"
        case NoBuild():
            specs = " or ".join(reason.specs[:_MOST_SPECS])
            builds = ", ".join(reason.builds[:_MOST_BUILDS]) + (", …" if len(reason.builds) > _MOST_BUILDS else "")
            return f"no build of {reason.on} {reason.versions} matches {specs}; there are {builds}"
        case Virtual():
            return f"but {reason.target} has {reason.has or f'no {reason.on}'}"
        case Hidden():
            parts = (f"{versions}, but {_hidden_by(why, reason.on, show)}" for versions, why in reason.records)
            return f"there is {reason.on} {'; '.join(parts)}"
        case Unreadable():
            if reason.error:
                return f"{reason.package} states a dependency that cannot be read: {reason.error}"
            return f"{reason.package} excludes itself"
        case ForbiddenChoice():
            return f"{' with '.join(reason.packages)} {render(reason.reason, show)}"
        case _:
            raise AssertionError(f"no words for {type(reason).__name__}")


def _needed(reason: Limiting) -> str:
    specs = " or ".join(reason.specs)
    if len(reason.specs) <= _MOST_SPECS:
        return specs
    if not reason.allowed:
        return f"{specs[:_LONGEST]}…"
    return f"{reason.on} {reason.allowed}"


def _no_package(reason: NoPackage) -> str:
    text = f"there is no package {reason.on} in {', '.join(reason.channels)}"
    if reason.elsewhere:
        return f"{text} for {reason.target}; there is one for {', '.join(reason.elsewhere)}"
    return f"{text}; did you mean {reason.nearest}?" if reason.nearest else text


def _hidden_by(why: HiddenBy, name: str, show: ShowPlace) -> str:
    match why.kind:
        case "constraint":
            place = f" ({show(why.origin)})" if why.origin else ""
            return f"the constraint {why.by}{place} rules it out"
        case "channel-of-a-spec":
            return f"a spec requires {name} from {why.by}"
        case "channel-priority":
            return f"by channel priority {name} comes from {why.by}"
        case "too-new":
            return "it is newer than the cut-off"
        case "undated":
            return "its channel does not say when it was made, which counts as too new under a cut-off"
