"""Core metadata, valid and as found in the wild."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.metadata import parse_email

from envc.fetch.pypi.metadata import parse_metadata, wheel_metadata
from envc_solvers.errors import MetadataUnusable
from tests.support.wheels import build_wheel

FILE = "demo-1.0-py3-none-any.whl"


def metadata(*lines: str, head: str = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n") -> bytes:
    return (head + "".join(f"{line}\n" for line in lines)).encode()


def test_everything_a_lock_needs_is_read() -> None:
    found = parse_metadata(
        FILE,
        metadata(
            "Summary: nothing",
            'Requires-Dist: Other.Project[B,a] (>=2,<3) ; extra == "Fast_Mode"',
            "Requires-Dist: plain",
            "Requires-Python: >=3.8",
            "Provides-Extra: Fast_Mode",
            "Provides-Extra: all",
            "License-Expression: MIT OR Apache-2.0",
            "",
            "Requires-Dist: not-a-header",
        ),
    )
    assert found.name == "demo"
    assert found.version == "1.0"
    assert [str(requirement) for requirement in found.requires] == [
        'other-project[a,b]<3,>=2; extra == "fast-mode"',
        "plain",
    ]
    assert found.requires_python == ">=3.8"
    assert found.extras == ("all", "fast-mode")
    assert found.license == "MIT OR Apache-2.0"


@pytest.mark.parametrize(
    ("lines", "license"),
    [
        (["License: BSD"], "BSD"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT License"),
        (["License: Copyright", " all of it", "Classifier: License :: OSI Approved :: Zope"], "Zope"),
        (["License: " + "x" * 200], ""),
        (
            ["Classifier: License :: OSI Approved", "Classifier: License :: A", "Classifier: License :: X :: B"],
            "A, B",
        ),
        (["License-Expression: MIT", "License: something else"], "MIT"),
        ([], ""),
    ],
)
def test_the_licence_is_a_short_name(lines: list[str], license: str) -> None:
    assert parse_metadata(FILE, metadata(*lines)).license == license


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("elasticsearch (>=7.2.0<8.0.0)", "elasticsearch<8.0.0,>=7.2.0"),
        ("foo2 >=1.0 <2", "foo2<2,>=1.0"),
        ("foo (>=3.6.*)", "foo>=3.6"),
        ("foo !=3.0*", "foo!=3.0.*"),
        ("foo ~=3", "foo~=3.0"),
        ("foo >='1.0'", "foo>=1.0"),
        ("foo >=1.0,", "foo>=1.0"),
        ("foo (>=1.0,,<2) ; os_name == 'nt'", 'foo<2,>=1.0; os_name == "nt"'),
        ("foo  \t >=1", "foo>=1"),
        ("kubernetes>=9.0.0a1.0; extra == 'k8s'", 'kubernetes>=9.0.0a1; extra == "k8s"'),
        ("foo>=1.0.dev3.0,<2", "foo<2,>=1.0.dev3"),
        ("foo>=1.0a1.0.0", "foo>=1.0a1"),
        ("foo!=~5.0,>=4.12", "foo!=5.0.*,>=4.12"),
        ("foo>dev", "foo>0.0.0dev"),
    ],
)
def test_old_spellings_are_understood(written: str, meant: str) -> None:
    assert [str(one) for one in parse_metadata(FILE, metadata(f"Requires-Dist: {written}")).requires] == [meant]


@pytest.mark.parametrize(
    ("malformed", "left_out"),
    [
        ("kubernetes>=abc; extra == 'fast'", True),
        ("kubernetes>=abc ; python_version < '3' and (extra == \"fast\")", True),
        ("kubernetes>=abc; extra == 'Fast' and (", True),
        ("kubernetes>=abc", False),
        ("kubernetes>=abc; python_version < '3'", False),
        ("kubernetes>=abc; extra == 'fast' or python_version > '3'", False),
        ("kubernetes>=abc; extra == 'fast' and extra == 'slow'", False),
        ("kubernetes>=abc; extra != 'fast'", False),
    ],
)
def test_a_malformed_requirement_is_left_out_with_its_extra(malformed: str, left_out: bool) -> None:
    lines = ["Provides-Extra: fast", "Provides-Extra: slow", "Requires-Dist: other", f"Requires-Dist: {malformed}"]
    if left_out:
        found = parse_metadata(FILE, metadata(*lines))
        assert ([str(one) for one in found.requires], found.extras) == (["other"], ("slow",))
    else:
        with pytest.raises(MetadataUnusable, match="is malformed"):
            parse_metadata(FILE, metadata(*lines))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (">=3.6.*", ">=3.6"),
        (">=2.7,!=3.0.*", ">=2.7,!=3.0.*"),
        (">=1!2.0", ">=1!2.0"),
        (">=3.6 <4", ">=3.6,<4"),
        ("", ""),
    ],
)
def test_requires_python_is_repaired_only_if_it_is_invalid(written: str, meant: str) -> None:
    assert parse_metadata(FILE, metadata(f"Requires-Python: {written}")).requires_python == meant


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it states no values of Name"),
        (metadata(head="Name: demo\n"), "it states no values of Version"),
        (metadata("Version: 1.0"), "it states 2 values of Version"),
        (metadata(head="Name: other\nVersion: 1.0\n"), "it calls itself other 1.0"),
        (metadata(head="Name: demo\nVersion: 2.0\n"), "it calls itself demo 2.0"),
        (metadata("Requires-Dist: ???"), "its requirement '???' is malformed"),
        (metadata("Requires-Dist: foo; " + "(" * 5000), "is malformed"),
        (b"\xff\xfe" * 100, "it states no values of Name"),
    ],
)
def test_unusable_metadata_gives_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MetadataUnusable) as caught:
        parse_metadata(FILE, data)
    assert caught.value.file == FILE
    assert reason in caught.value.reason


def test_equal_versions_may_be_spelt_differently() -> None:
    assert parse_metadata("Demo-1.0.0-py3-none-any.whl", metadata()).version == "1.0"


def test_old_line_ends_and_encodings() -> None:
    data = metadata("Author: J\u00f6rg", "Requires-Dist: other").decode().replace("\n", "\r\n")
    assert len(parse_metadata(FILE, data.encode("latin-1")).requires) == 1
    assert len(parse_metadata(FILE, b"\xef\xbb\xbf" + data.encode()).requires) == 1


_VALUES = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=1, max_size=30).map(str.strip)


@given(
    summary=_VALUES,
    folded=st.lists(_VALUES.filter(bool), max_size=3),
    names=st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), max_size=5),
)
def test_headers_are_read_as_email_parsers_read_them(summary: str, folded: list[str], names: list[str]) -> None:
    data = metadata(
        f"Summary: {summary}",
        "License: one" + "".join(f"\n        {line}" for line in folded),
        *(f"Requires-Dist: {name}" for name in names),
        "",
        "Requires-Dist: from-the-body",
    )
    judge, _ = parse_email(data)
    assert [str(one) for one in parse_metadata(FILE, data).requires] == judge.get("requires_dist", [])


def test_a_wheel_on_disk(tmp_path: Path) -> None:
    path = build_wheel("demo", "1.0", requires=["other>=1"]).write(tmp_path)
    assert [str(one) for one in wheel_metadata(path).requires] == ["other>=1"]
    path.write_bytes(b"no wheel")
    with pytest.raises(MetadataUnusable, match="too short for a zip archive"):
        wheel_metadata(path)
