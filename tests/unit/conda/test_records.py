"""Records as real channels write them: accepted oddities, and errors reported with their position."""

from __future__ import annotations

import json
from typing import Any

import pytest

from envc_solvers.conda.language.record import Record, RecordUnusable, decode_records, name_of

FILE = "demo-1.0-py_0.conda"
SHA256 = "6074ab8153fa6e4915cc761840c31e318ce911a678861db9db527ec6452c2cdb"


def decode(file: str = FILE, **fields: Any) -> Record:
    entry = {"name": "demo", "version": "1.0", "build": "py_0", "build_number": 0, "depends": []} | fields
    (record,) = decode_records(json.dumps({file: entry}).encode(), "main", "noarch")
    return record


def test_a_record_knows_its_position() -> None:
    record = decode(subdir="win-64", channel="https://elsewhere.example/x", fn="other.conda")
    assert (record.channel, record.subdir, record.file) == ("main", "noarch", FILE)


def test_one_odd_record_does_not_affect_others() -> None:
    table = {
        "demo-1.0-py_0.conda": {"name": "demo", "version": "1.0", "build": "py_0", "depends": None},
        "demo-1.1-py_0.conda": {"name": "demo", "version": "1.1", "build": "py_0", "depends": ["a"]},
    }
    first, second = decode_records(json.dumps(table).encode(), "main", "noarch")
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
        ({"sha256": SHA256, "size": 12}, {"sha256": SHA256, "size": 12}),
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
        ({"sha256": SHA256.upper()}, "sha256 is not 64 hexadecimal digits"),
        ({"md5": "abc"}, "md5 is not 32 hexadecimal digits"),
        ({"name": "other"}, "names the package 'other'"),
        ({"name": None}, "name"),
        ({"version": 1.0}, "version"),
        ({"version": "1.0 \x1b[2J"}, "contains characters that are not allowed"),
        ({"depends": "python"}, "depends"),
        ({"depends": [["python"]]}, "depends"),
        ({"depends": ["a"] * 2000}, "more than 1000 dependencies"),
        ({"size": -1}, "out of range"),
        ({"size": 1 << 60}, "out of range"),
        ({"timestamp": -5}, "out of range"),
        ({"noarch": "sometimes"}, "noarch"),
    ],
)
def test_nonsense_is_refused_with_its_position(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordUnusable, match=reason) as caught:
        decode(**fields)
    assert str(caught.value).startswith(f"the record of main/noarch/{FILE} cannot be used: ")


@pytest.mark.parametrize("file", ["demo-../../x-py_0.conda", "demo-1.0-py_0.conda\x00", "demo-1 0-py_0.conda"])
def test_an_invalid_file_name_is_refused(file: str) -> None:
    with pytest.raises(RecordUnusable, match="contains characters that are not allowed"):
        decode(file)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a-1-0.conda": []}', b'{"a": ' + b"[" * 100_000, b"\xff"])
def test_an_invalid_table_of_records_is_refused(data: bytes) -> None:
    with pytest.raises(RecordUnusable, match="main/noarch"):
        decode_records(data, "main", "noarch")


def test_names_in_file_names() -> None:
    assert name_of("python-dateutil-2.9.0-pyhd8ed1ab_0.conda") == "python-dateutil"
    assert name_of("a-b") == name_of("a") == name_of("") == ""
