"""Paths and links that an object may contain, and those that are refused."""

from __future__ import annotations

import pytest

from envc.model.record import Member
from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.paths import check_case, check_layout, check_link, check_path, check_tree, rules
from envc.shipping.store.keys import check_key, escape, object_key, step_key
from tests.support.stores import ARTIFACT

GOOD = [
    "a",
    "lib/python3.11/site-packages/a.py",
    "share/man/man3/Foo::Bar.3",
    "a b/ü/日本.txt",
    "..a/...",
    ".hidden/a.",
    "x" * 255,
    "/".join(["y" * 100] * 10),
]

BAD = [
    "",
    "/etc/passwd",
    "//server/share",
    "a//b",
    "a/",
    "./a",
    "a/./b",
    "..",
    "a/../../b",
    "a\\b",
    "..\\a",
    "\\\\server\\share\\a",
    "C:/a",
    "c:a",
    "a\0b",
    "a\nb",
    "a\x7f",
    "a\udc80",
    "x" * 256,
    "é" * 128,
    "/".join(["y" * 100] * 11),
]

BAD_ON_WINDOWS = [
    "con", "a/NUL", "a/aux.txt", "Com1.log", "LPT9", "com¹", "ab:stream", "a./b", "a /b", "a?", "a*b", "a|b", "conin$"
]  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_good_paths_pass(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize("path", BAD, ids=ascii)
def test_bad_paths_are_refused_everywhere(path: str) -> None:
    with pytest.raises(UnsafePath):
        check_path(path)


@pytest.mark.parametrize("path", BAD_ON_WINDOWS)
def test_names_that_windows_reads_differently_are_refused_there(path: str) -> None:
    check_path(path)
    with pytest.raises(UnsafePath):
        check_path(path, windows=True)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "b"),
        ("a", "."),
        ("a/b", "."),
        ("a/b", "../c"),
        ("a/b", ".."),
        ("a/b/c", "../../d/e"),
        ("lib/so.1", "so.1.2"),
    ],
)
def test_links_inside_the_object_are_accepted(path: str, target: str) -> None:
    check_link(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", ".."),
        ("a", "../b"),
        ("a/b", "../../c"),
        ("a", "/etc/passwd"),
        ("a", ""),
        ("a", "./b"),
        ("a", "./."),
        ("a", "b/.."),  # harmless if one counts "..", but not if b is a link
        ("a/b", "x/../../y"),
        ("a", "C:/b"),
        ("a", "..\\b"),
        ("a", "b/"),
    ],
)
def test_links_that_may_leave_the_object_are_refused(path: str, target: str) -> None:
    with pytest.raises(UnsafePath):
        check_link(path, target)


def tree(*paths: str) -> list[Member]:
    return [Member(path, sha256="0" * 64) for path in paths]


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (("a", "a"), "occurs twice"),
        (("b", "a"), "out of order"),
        (("A", "a"), "only in case"),
        (("ß", "ẞ"), "only in case"),
        (("e\u0301", "\u00e9"), "only in case"),
        (("a", "a-b", "a/b"), "a folder of other members"),
        (("A", "a/b"), "a folder of other members"),
        ((".envc/record.json",), "reserved"),
        ((".ENVC/x",), "reserved"),
        ((".envc",), "reserved"),
    ],
)
def test_trees_that_cannot_be_written_everywhere_are_refused(paths: tuple[str, ...], says: str) -> None:
    with pytest.raises(UnsafePath, match=says):
        check_tree(tree(*paths), windows=False, fold_case=True)


def test_a_link_cannot_be_used_as_a_folder() -> None:
    with pytest.raises(UnsafePath, match="a folder of other members"):
        check_tree([Member("a", type="link", link="b"), *tree("a/b")], windows=False, fold_case=True)


def test_folders_may_differ_in_case_and_files_where_linux_may_read_them() -> None:
    check_tree(tree("A/x", "a/y"), windows=False, fold_case=True)
    twins = tree("terminfo/E/x", "terminfo/e/x")
    for layout in ("any", "py3.11-posix", "pypy3.10-posix--lib-x"):
        check_tree(twins, **rules(layout))
        with pytest.raises(UnsafePath, match="what nothing shows"):
            check_tree(tree("a.py", "a\u200c.py"), **rules(layout))
    for layout in ("nt", "nt-own-arm64", "code", "environment"):
        with pytest.raises(UnsafePath, match="only in case"):
            check_tree(twins, **rules(layout))


@pytest.mark.parametrize("paths", [("a/E", "a/e"), ("a/E", "a/e/x"), ("caf\u00e9", "cafe\u0301")])
def test_wheels_for_systems_that_ignore_case_must_not_need_it(paths: tuple[str, ...]) -> None:
    check_case(tree(*paths), "py3.11-posix", "linux")
    check_case(tree(*paths), "any", "macos")
    for family in ("macos", "windows"):
        with pytest.raises(UnsafePath, match="only in case"):
            check_case(tree(*paths), "py3.11-posix", family)
    check_case(tree("A/x", "a/y"), "py3.11-posix", "macos")


def test_layouts_choose_the_rules() -> None:
    assert rules("nt-arm64")["windows"] and rules("nt")["windows"] and not rules("py3.12-posix")["windows"]
    check_tree(tree(".envc/record.json"), **rules("environment"))


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/..", "a/.b", "a\\b", "a b", "a\n", "é", "a" * 256])
def test_keys_are_paths_below_the_root(key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        check_key(key)


def test_names_in_keys_are_escaped() -> None:
    key = step_key("Ma Projet/é", ARTIFACT, "..", "linux-64")
    assert key == f"v1/steps/Ma%20Projet%2F%C3%A9/{ARTIFACT}/%2E%2E/linux-64.json"
    assert check_key(key) == key
    for name in ("", "x" * 300):
        with pytest.raises(ValueError, match="cannot name"):
            escape(name)


@pytest.mark.parametrize("layout", ["", "..", "a/b", "A", "a" * 65])
def test_layouts_must_be_plain_names(layout: str) -> None:
    with pytest.raises(ValueError, match="not a layout"):
        check_layout(layout)
    with pytest.raises(ValueError, match="not a layout"):
        object_key(layout, ARTIFACT)
