"""Nogoods forbid exactly what their definition says, in whatever order they are learned and queried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envc_solvers.pypi.language.index import File
from envc_solvers.pypi.search.candidate import Candidate, Need, Outside
from envc_solvers.pypi.search.nogoods import Atom, Atoms, Nogoods

NEEDS = [Need("x", "", "<2"), Need("x", "", ">=2"), Need("y", "", "")]


class CountingCandidate(Candidate):
    """A candidate that counts how often a fact is checked."""

    __slots__ = ("times",)

    def __init__(self, name: str, version: str, needs: tuple[Need, ...] | None = ()) -> None:
        super().__init__(name, version, File(f"{name}-{version}-py3-none-any.whl"))
        self.times = 0
        self.read(needs)

    def read(self, needs: tuple[Need, ...] | None) -> None:
        self.needs, self.need_set = needs, frozenset(needs or ())

    def has(self, fact: Need | Candidate | Outside) -> bool:
        self.times += 1
        return super().has(fact)


def candidates() -> dict[str, list[CountingCandidate]]:
    return {
        name: [
            CountingCandidate(name, version, needs)
            for version, needs in (("1", ()), ("2", (NEEDS[0],)), ("3", tuple(NEEDS)))
        ]
        for name in ("a", "b", "c")
    }


def definition(learned: list[Atoms], candidate: Candidate, decided: dict[str, Candidate]) -> list[Atoms]:
    """For every nogood that mentions the candidate and whose atoms all hold: its other atoms."""
    state = {**decided, candidate.identifier: candidate}
    return [
        {atom: None for atom in nogood if atom[0] != candidate.identifier}
        for nogood in learned
        if any(name == candidate.identifier for name, _ in nogood)
        and all(name in state and state[name].has(fact) for name, fact in nogood)
    ]


@given(st.data())
def test_a_candidate_is_forbidden_exactly_when_all_atoms_of_a_nogood_would_hold(data: st.DataObject) -> None:
    pool = candidates()
    everyone = [each for group in pool.values() for each in group]
    facts = st.sampled_from([*NEEDS, *(need.outside for need in NEEDS), *everyone])
    atoms: st.SearchStrategy[Atom] = st.tuples(st.sampled_from(sorted(pool)), facts)
    nogoods, learned = Nogoods(), list[Atoms]()
    for _ in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()):
            nogood: Atoms = dict.fromkeys(data.draw(st.lists(atoms, min_size=1, max_size=3)))
            nogoods.learn(nogood)
            learned.append(nogood)
        candidate = data.draw(st.sampled_from(everyone))
        decided: dict[str, Candidate] = {
            name: data.draw(st.sampled_from(group))
            for name, group in pool.items()
            if name != candidate.identifier and data.draw(st.booleans())
        }
        found, expected = nogoods.forbidden(candidate, decided), definition(learned, candidate, decided)
        assert (found is None) == (not expected)
        assert found is None or found in expected


def test_a_nogood_of_one_candidate_has_no_other_atoms() -> None:
    first, second = CountingCandidate("a", "1"), CountingCandidate("a", "2")
    other = CountingCandidate("b", "1")
    nogoods = Nogoods()
    nogoods.learn({("a", first): None, ("b", other): None})
    assert nogoods.forbidden(first, {}) is None
    assert nogoods.forbidden(first, {"b": other}) == {("b", other): None}
    nogoods.learn({("a", first): None})
    assert nogoods.forbidden(first, {}) == nogoods.forbidden(first, {"b": other}) == {}
    assert nogoods.forbidden(second, {"b": other}) is None
    assert nogoods.forbidden(CountingCandidate("never-learned", "1"), {}) is None


def test_a_candidate_is_compared_once_with_each_nogood() -> None:
    first, other = CountingCandidate("a", "1"), CountingCandidate("b", "1")
    nogoods = Nogoods()
    for need in NEEDS:
        nogoods.learn({("a", need.outside): None, ("b", other): None})
    assert nogoods.forbidden(first, {}) is None
    before = first.times
    assert nogoods.forbidden(first, {}) is None
    assert first.times == before == len(NEEDS)
    nogoods.learn({("a", first): None, ("b", other): None})
    assert nogoods.forbidden(first, {"b": other}) is not None
    assert first.times == before + 1


def test_a_candidate_is_compared_again_once_its_requirements_are_read() -> None:
    candidate = CountingCandidate("a", "1", None)
    nogoods = Nogoods()
    nogoods.learn({("a", NEEDS[0]): None})
    assert nogoods.forbidden(candidate, {}) is None
    candidate.read((NEEDS[0],))
    assert nogoods.forbidden(candidate, {}) == {}


def test_other_atoms_keep_the_order_of_learning() -> None:
    candidate, others = CountingCandidate("a", "1"), [CountingCandidate(name, "1") for name in "dbec"]
    nogoods = Nogoods()
    nogoods.learn({**{(each.name, each): None for each in others}, ("a", candidate): None})
    found = nogoods.forbidden(candidate, {each.name: each for each in others})
    assert list(found or ()) == [(each.name, each) for each in others]
