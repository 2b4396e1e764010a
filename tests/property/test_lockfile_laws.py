"""Laws of the lock file's text."""

from __future__ import annotations

import re

import msgspec
import tomli
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import LockFileError
from envc.locking.lockfile.canonical import canonical
from envc.locking.lockfile.contents import with_contents
from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import loads
from envc.locking.lockfile.merge import dangling, merge
from envc.locking.plan.expand import expand, lock_options
from envc.locking.plan.link import link
from envc.model.digest import Sha256, sha256
from envc.model.graph import Artifact, Choice, LockGraph
from envc.model.lock_lines import LockedPassedOver, StatedRequirement
from envc.model.manifest import Manifest
from envc_solvers.passed_over import PassedOver
from envc_solvers.pypi.language.requirement import parse
from tests.support.strategies import (
    addresses,
    locks,
    marker_texts,
    placed_manifests,
    replaced,
    requirement_texts,
    shuffle_lock,
    shuffled_locks,
)


@given(locks())
def test_reading_a_written_lock_gives_the_same_lock(graph: LockGraph) -> None:
    assert loads(dumps(graph)) == graph


@given(
    st.sampled_from(["sdist", "conflict", "yanked", "metadata"]),
    st.text(max_size=40) | st.sampled_from(["", "@ x", "a @ b", "a, b", " @ ", "needs glibc 2.34, target has 2.28"]),
    st.sampled_from([(), ("linux-64",), ("gpu", "win-64")]),
)
def test_a_line_about_a_newer_release_is_read_as_written(kind: str, detail: str, targets: tuple[str, ...]) -> None:
    line = LockedPassedOver.of(PassedOver("demo", "1.0", "2.0", kind, detail))  # type: ignore[arg-type]
    line = msgspec.structs.replace(line, targets=targets)
    assert LockedPassedOver.read(line.line) == line


@given(shuffled_locks())
def test_a_read_lock_is_canonical(graph: LockGraph) -> None:
    text = dumps(graph)
    assert loads(text) == canonical(graph)
    assert dumps(loads(text)) == text


@given(locks(), st.data())
def test_recording_contents_changes_nothing_else(graph: LockGraph, data: st.DataObject) -> None:
    artifacts = sorted({artifact.sha256 for package in graph.packages for artifact in package.artifacts})
    keys = st.tuples(st.sampled_from(artifacts), st.sampled_from(["nt", "py3.12-posix"])) if artifacts else st.nothing()
    digests = st.sampled_from([Sha256(letter * 64) for letter in "abc"])
    contents = data.draw(st.dictionaries(keys, digests, max_size=4) if artifacts else st.just({}))
    recorded = with_contents(graph, contents)
    assert loads(dumps(recorded)) == recorded == with_contents(recorded, contents)

    def without(each: LockGraph) -> list[object]:
        found: list[object] = [each.options, each.environments]
        for package in each.packages:
            bare = [msgspec.structs.replace(artifact, content={}) for artifact in package.artifacts]
            found.append(msgspec.structs.replace(package, artifacts=tuple(bare)))
        return found

    assert without(recorded) == without(graph)
    for package in recorded.packages:
        for artifact in package.artifacts:
            for (digest, layout), content in contents.items():
                assert digest != artifact.sha256 or artifact.content[layout] == content


@given(locks(), st.data())
def test_the_order_of_the_inputs_never_matters(graph: LockGraph, data: st.DataObject) -> None:
    assert dumps(shuffle_lock(graph, data.draw)) == dumps(graph)


@given(locks())
def test_other_toml_readers_read_the_same(graph: LockGraph) -> None:
    assert tomli.loads(dumps(graph).replace("\n", "\r\n"))["version"] == 1


@given(placed_manifests(), st.data())
def test_a_lock_has_no_addresses_except_those_written_by_people(manifest: Manifest, data: st.DataObject) -> None:
    """Other addresses of the sources and other links among what an index says of its files give the same lock."""
    text = dumps(_answered(manifest, data))
    assert dumps(_answered(replaced(manifest, data.draw), data)) == text
    written = {each.git for step in manifest.steps.values() for each in step.dependencies.pypi if each.git}
    assert set(re.findall(r"[^\s\"]*://[^\s\"]*", text)) == written


def _answered(manifest: Manifest, data: st.DataObject) -> LockGraph:
    """Return a lock of a manifest. The licence, some requirements and the yank of each wheel contain an address."""
    step_targets = expand(manifest)
    rows: dict[tuple[str, str], tuple[Choice, ...]] = {}
    choices: dict[str, Choice] = {}
    for step_target in step_targets:
        names = sorted({each.requirement.name for each in step_target.pypi})
        for name in names:
            if name not in choices:
                choices[name] = _wheel(name, data.draw(addresses()), data.draw(addresses()))
        rows[step_target.step, step_target.key] = tuple(choices[name] for name in names)
    graph = link(step_targets, rows, lock_options(manifest, step_targets))

    def yanked(artifact: Artifact) -> Artifact:
        return msgspec.structs.replace(artifact, yanked=f"see {data.draw(addresses())} first")

    packages = (
        msgspec.structs.replace(package, artifacts=tuple(map(yanked, package.artifacts))) for package in graph.packages
    )
    return msgspec.structs.replace(graph, packages=tuple(packages))


def _wheel(name: str, page: str, link: str) -> Choice:
    requires = "a", f"acme @ {link}", f"b-example @ {page} ; os_name == 'nt'"
    return Choice(
        kind="pypi",
        name=name,
        version="1.0",
        source="pypi",
        file=f"{name}-1.0-py3-none-any.whl",
        size=1,
        sha256=sha256(name.encode()),
        license=page,
        requires=tuple(map(StatedRequirement.read, requires)),
    )


@given(shuffled_locks())
def test_licences_and_reasons_of_yanks_have_no_addresses(graph: LockGraph) -> None:
    spelled = [
        *(one.line for environment in graph.environments for one in environment.requires),
        *(line for package in graph.packages for line in package.depends),
        *(line for package in graph.packages for each in package.artifacts for line in each.depends or ()),
    ]
    if not any(":" in line for line in spelled):
        assert "://" not in dumps(msgspec.structs.replace(graph, options={}))


@given(requirement_texts(conditional=False), st.just("") | marker_texts(), st.sampled_from(("", "https://x.example/a")))
def test_a_requirement_is_read_from_a_lock_as_it_was_written(text: str, marker: str, url: str) -> None:
    requirement = msgspec.structs.replace(parse(f"{text} ; {marker}" if marker else text), url=url)
    requirement = msgspec.structs.replace(requirement, specifier="") if url else requirement
    stated = StatedRequirement.of(requirement)
    assert StatedRequirement.read(stated.text) == stated
    assert (stated.is_direct, bool(stated.requested_extras)) == (bool(url), bool(requirement.extras))


@given(locks())
def test_a_lock_merged_with_itself_is_itself(graph: LockGraph) -> None:
    # A merge never starts from locks with duplicate keys.
    if not dangling(graph) and len({package.id for package in graph.packages}) == len(graph.packages):
        assert merge(graph, graph) == graph


@given(locks(), locks())
def test_a_merge_is_always_a_lock(ours: LockGraph, theirs: LockGraph) -> None:
    merged = merge(ours, theirs)
    assert loads(dumps(merged)) == merged
    # Encoded, because 0 and 0.0 are equal values but different texts.
    same_options = msgspec.json.encode(ours.options) == msgspec.json.encode(theirs.options)
    assert merge(theirs, ours) == merge(ours, theirs) or not same_options
    dangling(merged)


@given(locks(), st.data())
def test_a_damaged_lock_is_read_or_refused(graph: LockGraph, data: st.DataObject) -> None:
    text = dumps(graph)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    try:
        loads(text[:start] + data.draw(st.text(max_size=10)) + text[end:])
    except LockFileError as error:
        assert str(error)
