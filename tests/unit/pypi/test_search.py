"""The search: which metadata it reads, what it caches, when it stops, and which parts of resolvelib it relies on."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from resolvelib.resolvers.criterion import Criterion
from resolvelib.resolvers.resolution import Resolution
from resolvelib.structs import State

import envc_solvers
from envc_solvers.pypi.explain.conflict import PyPIGaveUp, PyPIUnsolvable
from envc_solvers.pypi.language.index import File, Release, View
from envc_solvers.pypi.language.markers import Answer
from envc_solvers.pypi.language.requirement import parse
from envc_solvers.pypi.problem import Policy, PyPIProblem
from envc_solvers.pypi.search.project import Candidates, Project, Rules
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.solution import Pin, Solution
from envc_solvers.target import Python, default_target
from tests.support.universe import MemoryIndex, Universe, Version, as_roots

TARGET = default_target("linux-64")
PYTHON = Python(minor=(3, 11))


def ask(universe: Universe, *roots: str, policy: Policy | None = None, max_tries: int = 10_000) -> Solution:
    problem = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(roots, "roots"), policy=policy or Policy())
    return solve_pypi(problem, MemoryIndex(universe, TARGET, PYTHON), {}, max_tries=max_tries)


def test_resolvelib_is_as_the_search_expects() -> None:
    """`pypi.search.resolution` relies on these parts. If a new resolvelib changes them, review it before upgrading."""
    assert list(inspect.signature(Resolution.resolve).parameters) == ["self", "requirements", "max_rounds"]
    assert list(inspect.signature(Resolution._attempt_to_pin_criterion).parameters) == ["self", "name"]
    assert list(inspect.signature(Resolution._backjump).parameters) == ["self", "causes"]
    assert list(inspect.signature(Resolution._push_new_state).parameters) == ["self"]
    assert list(inspect.signature(Resolution._extract_causes).parameters) == ["self", "criteron"]
    assert State._fields == ("mapping", "criteria", "backtrack_causes")
    assert list(inspect.signature(Criterion).parameters) == ["candidates", "information", "incompatibilities"]
    assert "self._states" in inspect.getsource(Resolution._push_new_state)


def test_one_module_uses_the_private_parts_of_resolvelib() -> None:
    private = re.compile(r"\b(_states|_push_new_state|_extract_causes|_attempt_to_pin_criterion|_add_to_criteria)\b")
    solvers = Path(inspect.getfile(envc_solvers)).parent
    users = [path.relative_to(solvers) for path in solvers.rglob("*.py") if private.search(path.read_text())]
    assert users == [Path("pypi/search/resolution.py")]


def test_a_pin_has_everything_that_a_lock_needs() -> None:
    universe = {
        "app": {
            "1.0": Version(
                requires=("lib>=1", "tool; extra == 'x'", "other; os_name == 'nt'"), extras=("x", "y"), yanked="old"
            )
        },
        "lib": {"1.0": Version()},
        "tool": {"1.0": Version()},
    }
    solution = ask(universe, "app[x]==1.0", "lib")
    assert solution.roots == ("app", "lib")
    pin = solution.pins[0]
    assert pin == Pin(
        kind="pypi",
        name="app",
        version="1.0",
        source="pypi",
        file="app-1.0-py3-none-any.whl",
        sha256=pin.sha256,
        size=24,
        yanked="old",
        extras=("x",),
        requires=tuple(map(parse, ("lib>=1", 'other; os_name == "nt"', 'tool; extra == "x"'))),
        depends=("lib", "tool"),
    )


def test_only_metadata_of_chosen_candidates_is_read() -> None:
    universe = {"app": {f"{n}.0": Version(requires=("lib",)) for n in range(50)}, "lib": {"1.0": Version()}}
    problem = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(["app"], "roots"))
    index = MemoryIndex(universe, TARGET, PYTHON)
    solve_pypi(problem, index, {})
    assert index.metadata_read == ["app-49.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl"]
    assert index.expected == [parse("app"), parse("lib")], "requirements are announced before they are looked up"


def test_known_answers_are_not_computed_again() -> None:
    universe = {"app": {"1.0": Version(requires=("lib; os_name == 'posix'",))}, "lib": {"1.0": Version()}}
    problem = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(["app"], "roots"))
    answers = {'os_name == "posix"': Answer(False)}
    assert [pin.name for pin in solve_pypi(problem, MemoryIndex(universe, TARGET, PYTHON), answers).pins] == ["app"]
    fresh: dict[str, Answer] = {}
    solve_pypi(problem, MemoryIndex(universe, TARGET, PYTHON), fresh)
    assert fresh == {'os_name == "posix"': Answer(True)}


def test_a_requirement_of_every_version_is_learned_once() -> None:
    """100 versions of one project against 100 of another would be 10,000 tries without learning."""
    universe = {
        "left": {f"{n}.0": Version(requires=("base<1",)) for n in range(1, 101)},
        "right": {f"{n}.0": Version(requires=("base>=1",)) for n in range(1, 101)},
        "base": {"0.1": Version(), "1.0": Version()},
    }
    with pytest.raises(PyPIUnsolvable) as caught:
        ask(universe, "left", "right", max_tries=1_000)
    assert "100 versions" in str(caught.value)


def test_the_shortest_path_to_a_failure_is_taken() -> None:
    """Of two projects that have no candidates left, the one with fewer versions is read to the end."""
    universe = {
        "long": {f"{n}.0": Version(requires=("base>=2", "narrow")) for n in range(1, 101)},
        "narrow": {f"{n}.0": Version(requires=("base>=2",)) for n in range(1, 13)},
        "old": {"1.0": Version(requires=("base<2",)), "2.0": Version()},
        "base": {"1.0": Version(), "2.0": Version()},
        "wide": {f"{n}.0": Version(requires=("narrow",)) for n in range(1, 101)},
    }
    problem = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(["long", "narrow", "old==1.0", "wide"], "roots"))
    index = MemoryIndex(universe, TARGET, PYTHON)
    with pytest.raises(PyPIUnsolvable) as caught:
        solve_pypi(problem, index, {})
    conflict = caught.value.conflict
    assert {root for root, _ in conflict.roots} == {"narrow", "old==1.0"}
    assert "narrow 1.0 to 12.0 (12 versions)" in str(caught.value)
    read = Counter(name.partition("-")[0] for name in index.metadata_read)
    assert read["narrow"] == 12
    assert max(read["long"], read["wide"]) <= 6, "only up to the limit of patience, plus the trials of suggestions"


def test_exact_pins_are_not_decided_before_the_project_that_states_them() -> None:
    """As with Home Assistant: an application pins every dependency exactly, with different pins in every release."""
    parts = ("agent", "client", "codec")
    universe: Universe = {
        "service": {
            f"{n}.0": Version(requires=(f"agent=={n // 2}.0", f"client=={n // 3}.0", f"codec=={n // 5}.0", f"end>={n}"))
            for n in range(1, 61)
        },
        "end": {"1.0": Version()},
        **{part: {f"{n}.0": Version() for n in range(80)} for part in parts},
    }
    pins = ask(universe, *parts, "service", max_tries=150).pins  # 17,000 if the dependencies were decided first
    assert {pin.name: pin.version for pin in pins}["service"] == "1.0"


def test_a_name_with_candidates_left_is_not_part_of_a_refusal() -> None:
    """While one name keeps losing candidates, another one is looked at, and only its newest version is excluded."""
    universe = {
        "long": {f"{n}.0": Version(requires=("base>=2",)) for n in range(1, 21)},
        "some": {"1.0": Version(), "2.0": Version(requires=("base>=2",))},
        "old": {"1.0": Version(requires=("base<2",))},
        "base": {"1.0": Version(), "2.0": Version()},
    }
    with pytest.raises(PyPIUnsolvable) as caught:
        ask(universe, "long", "some", "old==1.0")
    assert {root for root, _ in caught.value.conflict.roots} == {"long", "old==1.0"}
    assert "some" not in str(caught.value)


def test_the_index_is_told_to_expect_the_candidates_after_excluded_ones() -> None:
    universe = {
        "app": {f"{n}.0": Version(requires=("base>=2",)) for n in range(1, 51)} | {"0.5": Version()},
        "base": {"1.0": Version(), "2.0": Version(), "2.1rc1": Version()},
    }
    problem = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(["app", "base<2"], "roots"))
    index = MemoryIndex(universe, TARGET, PYTHON)
    pins = solve_pypi(problem, index, {}).pins
    assert [pin.version for pin in pins] == ["0.5", "1.0"]
    assert index.expected_files[0] == "app-47.0-py3-none-any.whl", "the candidate after the third"
    read = [name for name in index.metadata_read if name.startswith("app")]
    assert list(dict.fromkeys(index.expected_files)) == read[3:], (
        "in order, and only candidates that the requirements allow"
    )


def test_candidates_of_a_choice_may_be_read_in_any_order() -> None:
    choice = choice_of("app", [f"{n}.0" for n in range(5, -1, -1)])
    assert [candidate.version for candidate in choice.between(3, 5)] == ["2.0", "1.0"]
    assert [candidate.version for candidate in choice.between(1, 9)] == ["4.0", "3.0", "2.0", "1.0", "0.0"]
    assert [candidate.version for candidate in choice] == ["5.0", "4.0", "3.0", "2.0", "1.0", "0.0"]


def test_candidates_are_counted_only_as_far_as_needed() -> None:
    choice = choice_of("app", ["3.0", "2.0", "1.0"])
    assert (choice.count(2), choice.count(), choice.count(2), choice.count(9)) == (2, 3, 2, 3)


def test_a_narrowed_choice_matches_all_specifiers_combined() -> None:
    choice = choice_of("app", ["3.0", "2.0", "1.0"])
    assert list(choice.narrowed(">=2").narrowed("<3")) == list(choice.narrowed("<3,>=2")) == list(choice)[1:2]
    assert choice.narrowed(">=2").narrowed("") is choice.narrowed(">=2")
    apart = choice.narrowed("==1.0").narrowed("==2.0")
    assert not apart
    assert not apart.narrowed(">=1")


def choice_of(name: str, newest_first: list[str]) -> Candidates:
    view = View(name, "pypi", tuple(Release.of(version, [File("")]) for version in newest_first))
    return Project(view, Rules(Policy(), "3.11.0", {}, frozenset()), "highest").candidates(frozenset())


def test_unrelated_decisions_are_skipped_in_backjumps() -> None:
    bystanders = {f"b{n}": {f"{v}.0": Version() for v in range(1, 6)} for n in range(12)}
    universe = {
        "aaa": {"1.0": Version(), "2.0": Version(requires=("zzz<2",))},
        "zzz": {"1.0": Version(requires=("missing",)), "2.0": Version()},
        **bystanders,
    }
    solution = ask(universe, "aaa", "zzz", *bystanders, max_tries=100)
    assert {pin.name: pin.version for pin in solution.pins}["aaa"] == "1.0"


def test_reaching_the_limit_names_what_was_being_tried() -> None:
    universe = {
        "app": {f"{n}.0": Version(requires=("lib>=9",)) for n in range(1, 30)},
        "lib": {"1.0": Version()},
    }
    with pytest.raises(PyPIGaveUp) as caught:
        ask(universe, "app", max_tries=10)
    error = caught.value
    assert (error.tried, error.deciding) == (10, "app")
    assert "stopped after 10 candidates while deciding app" in str(error)
    assert "lib>=9  required by app 20.0 to 29.0 (10 versions)" in str(error)


def test_the_most_frequent_failure_is_named_first() -> None:
    universe = {
        "alpha": {"2.0": Version(requires=("once>=9",)), "1.0": Version()},
        "beta": {f"{n}.0": Version(requires=("often>=9",)) for n in range(1, 30)},
        "once": {"1.0": Version()},
        "often": {"1.0": Version()},
    }
    with pytest.raises(PyPIGaveUp) as caught:
        ask(universe, "alpha", "beta", max_tries=12)
    error = caught.value
    assert [subject.project for subject in error.conflict.subjects] == ["often", "once"]
    assert error.decided == ("alpha 1.0",)
    assert "while deciding beta, after alpha 1.0; what stood in the way" in str(error)
    assert error.data()["tried"] == 12


def test_a_clock_can_stop_the_search() -> None:
    ticks = iter([False, False, True])
    problem = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(["app"], "roots"))
    universe = {"app": {"1.0": Version(requires=("lib",))}, "lib": {"1.0": Version(requires=("end",))}, "end": {}}
    with pytest.raises(PyPIGaveUp):
        solve_pypi(
            problem,
            MemoryIndex({**universe, "end": {"1.0": Version()}}, TARGET, PYTHON),
            {},
            out_of_time=lambda: next(ticks),
        )


def test_a_root_with_a_url_is_refused_with_its_label() -> None:
    with pytest.raises(PyPIUnsolvable) as caught:
        ask({"app": {"1.0": Version()}}, "app @ https://example.invalid/app-1.0-py3-none-any.whl")
    assert [subject.reason for subject in caught.value.conflict.subjects] == ["from-url"]
    assert caught.value.conflict.roots[0][1] == ("roots", 0)


_HASHED = """
from tests.support.universe import Version
from tests.unit.pypi.test_search import ask
from envc_solvers.pypi.explain.conflict import PyPIUnsolvable
names = ["ant", "bee", "cat", "dog"]
universe = {name: {f"{v}.0": Version(requires=(f"core{'<' if i % 2 else '>='}{v}",)) for v in range(1, 7)}
            for i, name in enumerate(names)}
universe["core"] = {f"{v}.0": Version() for v in range(1, 9)}
print([(pin.name, pin.version) for pin in ask(universe, *names).pins])
universe["core"] = {}
universe["core"]["0.1"] = Version()
try:
    ask(universe, *names)
except PyPIUnsolvable as error:
    print(error)
"""


def test_results_do_not_depend_on_the_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _HASHED],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(5)
    }
    assert len(outputs) == 1


def test_a_warm_solve_loads_no_parser() -> None:
    """Start-up time matters: parsed requirements and answers come from the cache."""
    code = (
        "import sys\n"
        "from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot\n"
        "from envc_solvers.pypi.solve import solve_pypi\n"
        "from envc_solvers.pypi.language.requirement import Metadata, Requirement, parse\n"
        "from envc_solvers.pypi.language.index import File, Release, View\n"
        "from envc_solvers.pypi.language.markers import Answer\n"
        "from envc_solvers.target import Python, default_target\n"
        "class Known:\n"
        "    def view(self, name): return View(name, 'pypi', (Release.of('1.0rc1', (File(name + '.whl'),)),))\n"
        "    def metadata(self, view, file):\n"
        "        needs = (Requirement('lib', '<2,>=1.0a1', (), 'os_name == \"posix\"'),)\n"
        "        return Metadata(view.name, '1.0rc1', needs if view.name == 'app' else (), '', ('extra',))\n"
        "    def expect(self, requirements): pass\n"
        "    def expect_metadata(self, view, files): pass\n"
        "problem = PyPIProblem(target=default_target('linux-64'), python=Python(minor=(3, 12)),\n"
        "                  roots=(PyPIRoot(parse('app [extra] != 3, <2; os_name == \"posix\"')),))\n"
        "assert len(solve_pypi(problem, Known(), {'os_name == \"posix\"': Answer(True)}).pins) == 2\n"
        "print(sorted(name for name in sys.modules if name.startswith(('packaging', 'envc.'))))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['packaging', 'packaging.version']"
