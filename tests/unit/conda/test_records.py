"""Records as real channels write them: accepted oddities, and errors reported with their position."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc_solvers.conda.language.record import Record, RecordUnusable, decode_records, name_of
from envc_solvers.conda.language.version import InvalidVersion, parse_version

FILE = "demo-1.0-py_0.conda"
SHA256 = "6074ab8153fa6e4915cc761840c31e318ce911a678861db9db527ec6452c2cdb"


def decode(file: str = FILE, **fields: Any) -> Record:
    entry = {"name": "demo", "version": "1.0", "build": "py_0", "build_number": 0, "depends": []} | fields
    (record,), left_out = decode_records(json.dumps({file: entry}).encode(), "main", "noarch")
    assert not left_out
    return record


def left_out(file: str = FILE, **fields: Any) -> str:
    """Return why a record is left out. Another one beside it is kept."""
    entry = {"name": "demo", "version": "1.0", "build": "py_0", "build_number": 0, "depends": []} | fields
    good = {"demo-0.9-py_0.conda": {"name": "demo", "version": "0.9", "build": "py_0"}}
    records, (error,) = decode_records(json.dumps(good | {file: entry}).encode(), "main", "noarch")
    assert [record.version for record in records] == ["0.9"]
    assert (error.channel, error.subdir, error.file) == ("main", "noarch", file)
    return error.reason


def test_a_record_knows_its_position() -> None:
    record = decode(subdir="win-64", channel="https://elsewhere.example/x", fn="other.conda")
    assert (record.channel, record.subdir, record.file) == ("main", "noarch", FILE)


def test_one_odd_record_does_not_affect_others() -> None:
    table = {
        "demo-1.0-py_0.conda": {"name": "demo", "version": "1.0", "build": "py_0", "depends": None},
        "demo-1.1-py_0.conda": {"name": "demo", "version": "1.1", "build": "py_0", "depends": ["a"]},
    }
    (first, second), left_out = decode_records(json.dumps(table).encode(), "main", "noarch")
    assert not left_out
    assert (first.depends, second.depends) == ((), ("a",))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"depends": None, "constrains": None}, {"depends": (), "constrains": ()}),
        ({"track_features": ""}, {"track_features": ()}),
        ({"track_features": "mkl, nomkl"}, {"track_features": ("mkl", "nomkl")}),
        ({"track_features": ["mkl"]}, {"track_features": ("mkl",)}),
        ({"noarch": True}, {"noarch": "generic"}),
        ({"noarch": False}, {"noarch": ""}),
        ({"noarch": None}, {"noarch": ""}),
        ({"noarch": "python"}, {"noarch": "python"}),
        ({"timestamp": 1_578_324_546}, {"timestamp": 1_578_324_546_000}),
        ({"timestamp": 1_700_000_000_000}, {"timestamp": 1_700_000_000_000}),
        ({"timestamp": 1_700_000_000_000.0}, {"timestamp": 1_700_000_000_000}),
        ({"license": ["MIT"]}, {"license": ""}),
        ({"build_number": None}, {"build_number": 0}),
        ({"build_number": "3"}, {"build_number": 0}),
        ({"build_number": True}, {"build_number": 0}),
        ({"build_number": -1}, {"build_number": -1}),
        ({"timestamp": -5}, {"timestamp": 0}),
        ({"timestamp": 1 << 62}, {"timestamp": 0}),
        ({"timestamp": "yesterday"}, {"timestamp": 0}),
        ({"size": -1}, {"size": 0}),
        ({"size": 1 << 60}, {"size": 0}),
        ({"size": "123"}, {"size": 0}),
        ({"size": 1.5}, {"size": 0}),
        ({"sha256": SHA256, "size": 12}, {"sha256": SHA256, "size": 12}),
        ({"sha256": SHA256.upper()}, {"sha256": SHA256}),
        ({"md5": "AB" * 16}, {"md5": "ab" * 16}),
        ({"sha256": None, "md5": "ab" * 16}, {"sha256": "", "md5": "ab" * 16}),
        ({"version": "1.0.2_"}, {"version": "1.0.2_"}),
        ({"version": "1!2.0+Local-1"}, {"version": "1!2.0+Local-1"}),
        ({"extra_depends": {"gui": ["qt"]}, "features": "mkl", "requires": ["x"]}, {"depends": ()}),
    ],
)
def test_oddities_of_real_channels_are_accepted(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    record = decode(**fields)
    assert {key: getattr(record, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sha256": "abc"}, "sha256 is not 64 hexadecimal digits"),
        ({"md5": "abc"}, "md5 is not 32 hexadecimal digits"),
        ({"name": "other"}, "names the package 'other'"),
        ({"name": None}, "name"),
        ({"version": 1.0}, "version"),
        ({"version": "1.0 \x1b[2J"}, "contains characters that are not allowed"),
        ({"build": "py 0"}, "contains characters that are not allowed"),
        ({"version": "2..0"}, "'2..0' is not a version: a part of it is empty"),
        ({"version": "x!1"}, "'x!1' is not a version: its epoch"),
        ({"version": "1.0é"}, "is not a version"),
        ({"version": ""}, "contains characters that are not allowed"),
        ({"constrains": [5]}, "constrains"),
        ({"depends": "python"}, "depends"),
        ({"depends": [["python"]]}, "depends"),
        ({"depends": ["a"] * 2000}, "more than 1000 dependencies"),
        ({"noarch": "sometimes"}, "noarch"),
    ],
)
def test_nonsense_is_left_out_with_its_position(fields: dict[str, Any], reason: str) -> None:
    assert reason in left_out(**fields)


@given(st.text(st.sampled_from("0aBé._-+!* "), max_size=12))
def test_every_record_that_is_kept_has_a_valid_version(version: str) -> None:
    table = {FILE: {"name": "demo", "version": version, "build": "py_0"}}
    records, left_out = decode_records(json.dumps(table).encode(), "main", "noarch")
    assert len(records) + len(left_out) == 1
    for record in records:
        parse_version(record.version)
    if left_out and re.fullmatch("[!-.0-~]+", version):
        with pytest.raises(InvalidVersion):
            parse_version(version)


@pytest.mark.parametrize("file", ["demo-../../x-py_0.conda", "demo-1.0-py_0.conda\x00", "demo-1 0-py_0.conda"])
def test_a_record_with_an_invalid_file_name_is_left_out(file: str) -> None:
    assert "contains characters that are not allowed" in left_out(file)


@pytest.mark.parametrize("entry", ["[]", "null", "5", '{"name": "demo"}', "{}"])
def test_a_record_without_its_fields_is_left_out(entry: str) -> None:
    good = '"demo-0.9-py_0.conda": {"name": "demo", "version": "0.9", "build": "py_0"}'
    records, left_out = decode_records(f'{{"{FILE}": {entry}, {good}}}'.encode(), "main", "noarch")
    assert ([each.file for each in left_out], len(records)) == ([FILE], 1)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a": ' + b"[" * 100_000, b"\xff"])
def test_an_invalid_table_of_records_is_refused(data: bytes) -> None:
    with pytest.raises(RecordUnusable, match="main/noarch"):
        decode_records(data, "main", "noarch")


def test_names_in_file_names() -> None:
    assert name_of("python-dateutil-2.9.0-pyhd8ed1ab_0.conda") == "python-dateutil"
    assert name_of("a-b") == name_of("a") == name_of("") == ""
