"""What people get wrong: each is told what is wrong, where, and the way out, and is never told of a bug."""

from __future__ import annotations

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("lock", "--time-limit", "soon"), "--time-limit: 'soon' is neither a moment nor a span"),
        (("gc", "--recent", "2 months"), "--recent: '2 months' is no fixed span"),
        (("cache", "prune", "--unused", "2026-01-01"), "--unused: '2026-01-01' is a moment"),
    ],
)
def test_spans_name_their_option(workplace: Workplace, words: tuple[str, ...], told: str) -> None:
    done = workplace.fails(2, *words)
    assert told in done.err
    assert 'write a span of time such as "90s"' in done.err


def test_a_python_that_does_not_exist_yet(workplace: Workplace) -> None:
    done = workplace.fails(2, "solve", "--pypi", "alpha", "--python", "3.99")
    assert "--python 3.99: no Python that envc knows satisfies '3.99'" in done.err
    assert "known are 3.8" in done.err


def test_a_platform_that_the_manifest_does_not_have_is_no_slip_of_the_pen(workplace: Workplace) -> None:
    done = workplace.fails(2, "lock", "--target", "osx-64")
    assert "no target for osx-64; it has linux-64, linux-aarch64, osx-arm64, win-64" in done.err
    assert 'add "osx-64" to the targets' in done.err
    assert "did you mean osx-arm64?" in workplace.fails(2, "lock", "--target", "osx-arm46").err


def test_the_manifest_may_be_named_alike_for_every_verb(workplace: Workplace) -> None:
    named = ("--manifest", str(workplace.manifest))
    elsewhere = workplace.folder
    workplace.ok("lock", *named, cwd=elsewhere)
    workplace.ok("bundle", *named, "--platform", host_platform(), "--step", "train", cwd=elsewhere)
    assert "the lock is up to date" in workplace.ok("status", "-m", str(workplace.manifest), cwd=elsewhere).out
    assert "named twice" in workplace.fails(2, "lock", "manifest.toml", *named).err
    assert "name it with --manifest" in workplace.fails(2, "run", "train", cwd=elsewhere).err


def test_frozen_is_named_where_it_helps(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.manifest.write_text(workplace.manifest.read_text().replace('"alpha>=1"', '"alpha>=1.1"'))
    assert "run `envc lock`, or pass --frozen" in workplace.fails(1, "bundle").err
    assert "run `envc lock`, or pass --frozen" in workplace.fails(1, "verify").err
    for words in (("lock", "--check"), ("bundle", "--record"), ("tag", "v1")):
        told = workplace.fails(1, *words).err
        assert "hint: run `envc lock`\n" in told


@pytest.mark.parametrize(
    "words", [("lock", "--no-such-option"), ("solve", "--resolution", "newest"), ("cache", "grow")]
)
def test_machines_are_told_of_wrong_options_too(workplace: Workplace, words: tuple[str, ...]) -> None:
    done = workplace.fails(2, *words, "--json")
    assert done.json["error"]["code"] == "usage"
    assert done.json["error"]["message"]


def test_the_cache_is_shown_as_json_without_a_verb_too(workplace: Workplace) -> None:
    assert workplace.ok("cache", "--json").json == workplace.ok("cache", "show", "--json").json


def test_places_that_cannot_be_written(workplace: Workplace) -> None:
    """A file where a folder should be stands for whatever may be wrong with a place."""
    workplace.ok("lock")
    place = str(workplace.checkout / "main.py" / "x")
    no_cache = {"ENVC_CACHE_DIR": place}
    workplace.ok("lock", "--upgrade", **no_cache)
    for words in (("bundle", "--step", "train"), ("hydrate", "train")):
        workplace.ok("bundle", "--step", "train") if words[0] == "hydrate" else None
        told = workplace.fails(1, *words, **no_cache).err
        assert f"{place}" in told and "cannot be written: Not a directory" in told and "ENVC_CACHE_DIR" in told
    assert workplace.ok("cache", **no_cache).out == f"{place}\n"
    assert "removed 0 things" in workplace.ok("cache", "prune", "--all", **no_cache).err
    assert "choose another --prefix" in workplace.fails(1, "hydrate", "train", "--prefix", place).err
    done = workplace.fails(1, "init", place, "--python", HOST_PYTHON)
    assert "manifest.toml cannot be written: Not a directory" in done.err
