"""One search over a problem whose requirements are in order, and its solution."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from envc_solvers.origin import KeyPath
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.requirement import Requirement, sorted_requirements
from envc_solvers.pypi.problem import Budget, PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.candidate import Candidate, Need
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.provider import Provider
from envc_solvers.pypi.search.replay import RecordedIndex
from envc_solvers.pypi.search.search import Search
from envc_solvers.solution import Pin, Solution

_NO_LIMIT = 1 << 62  # resolvelib's rounds; tries are limited instead


class SearchContext(msgspec.Struct, frozen=True):
    """The state that all searches for one target and Python share: everything but the problem."""

    index: RecordedIndex
    markers: Markers
    budget: Budget = Budget()


def in_order(problem: PyPIProblem) -> PyPIProblem:
    """The problem with its requirements sorted, so that their order in the manifest makes no difference."""
    return msgspec.structs.replace(
        problem,
        roots=_sorted(problem.roots),
        constraints=_sorted(problem.constraints),
        overrides=_sorted(problem.overrides),
    )


def search(problem: PyPIProblem, context: SearchContext, journal: Journal) -> Solution:
    """Search a problem with sorted requirements. Raises ResolutionImpossible, ProjectNotFound or SearchLimit."""
    index, markers, budget = context.index, context.markers, context.budget
    provider = Provider(problem, index, markers)
    roots = [root.requirement for root in problem.roots if markers.holds(root.requirement.marker)]
    index.expect([Requirement(root.name, root.specifier, root.extras) for root in roots])
    needs: dict[Need, None] = {}
    for requirement in roots:
        needs.update(dict.fromkeys(provider.needs(requirement)))
    state = Search(provider, journal, budget.max_tries, budget.out_of_time).resolve(list(needs), max_rounds=_NO_LIMIT)
    return _solution(provider, state.mapping.values(), roots_of=[root.name for root in roots])


def _sorted(roots: tuple[PyPIRoot, ...]) -> tuple[PyPIRoot, ...]:
    return tuple(sorted(roots, key=lambda root: (_sort_key(root), _place_key(root.origin))))


def _place_key(origin: KeyPath) -> tuple[tuple[bool, str | int], ...]:
    """A sort key for key paths in which a number and a name may be in the same position."""
    return tuple((isinstance(part, str), part) for part in origin)


def _sort_key(root: PyPIRoot) -> tuple[str, str, tuple[str, ...], str, str]:
    one = root.requirement
    return one.name, one.specifier, one.extras, one.marker, one.url


def _solution(provider: Provider, decided: Iterable[Candidate], roots_of: list[str]) -> Solution:
    groups: dict[str, list[Candidate]] = {}  # name: the base candidate and those of its extras
    for candidate in decided:
        groups.setdefault(candidate.name, []).append(candidate)
    pins: list[Pin] = []
    warnings: list[str] = []
    for name, group in sorted(groups.items()):
        base = group[0].base
        extras = tuple(sorted(candidate.extra for candidate in group if candidate.extra))
        if name in provider.provided and not extras:
            continue
        metadata = provider.metadata(base)
        warnings += [f"{name} {base.version} has no extra {extra}" for extra in extras if extra not in metadata.extras]
        if name in provider.provided:
            continue
        pins.append(
            Pin(
                kind="pypi",
                name=name,
                version=base.version,
                source=provider.project(name).view.source,
                file=base.file.name,
                sha256=base.file.sha256,
                size=base.file.size,
                uploaded=base.file.uploaded,
                license=metadata.license,
                yanked=base.file.yanked,
                extras=extras,
                requires_python=tuple(sorted({base.file.requires_python, metadata.requires_python} - {""})),
                requires=sorted_requirements(metadata.requires),
                depends=tuple(sorted({need.name for candidate in group for need in candidate.needs or ()} - {name})),
            )
        )
    return Solution(pins=tuple(pins), roots=tuple(sorted(set(roots_of))), warnings=tuple(warnings))
