"""Plain repodata is scanned once while it is read, and its skeleton is small."""

from __future__ import annotations

import json
from typing import Any

import pytest

from envc.fetch.conda.plain_repodata import NotPlain, PlainRepodataScanner
from envc.fetch.conda.repodata import index_plain_repodata

ODD = {"license": 'a } or {, "x":{', "extra_depends": {"all": ["rope"], "none": []}}


def shown(document: dict[str, Any], size: int, **layout: Any) -> tuple[bytes, PlainRepodataScanner]:
    data = json.dumps(document, **{"separators": (",", ":")} | layout).encode()
    scanner = PlainRepodataScanner(10**6)
    for at in range(0, len(data), size):
        scanner.feed(data[at : at + size])
    return data, scanner


def channel(odd: str = "") -> dict[str, Any]:
    """Return 200 names of three files each. One of them may have a record that is not plain."""
    files = [f"name{name:03}-{version}-h_0" for name in range(200) for version in ("1.0", "1.1", "2.0")]
    table = {f"{file}.conda": {"file": file, "depends": ["x" * 30]} for file in files}
    if odd:
        table[f"{odd}.conda"] |= ODD
    return {"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": table, "removed": []}


@pytest.mark.parametrize("size", [1, 97, 1000, 1 << 20])
@pytest.mark.parametrize("odd", ["", "name000-1.0-h_0", "name100-1.1-h_0", "name199-2.0-h_0"])
def test_names_are_found_with_hardly_any_decoding(size: int, odd: str) -> None:
    document = channel(odd)
    data, scanner = shown(document, size)
    assert len(scanner.skeleton()) < 1000 < len(data) / 20
    cut = index_plain_repodata(data, scanner)
    assert cut is not None and cut.data is None
    found: dict[str, dict[str, Any]] = {}
    for name, start, stop in cut.spans:
        found.setdefault(name, {}).update(json.loads(b"{%b}" % data[start:stop]))
    assert {file: record for files in found.values() for file, record in files.items()} == document["packages.conda"]
    assert all(len(files) == 3 and all(file.startswith(f"{name}-") for file in files) for name, files in found.items())
    assert len(cut.spans) <= 200 + 4  # next to a record that is not plain, a name is in two or three parts


def test_records_of_newer_tables_are_not_mistaken_for_others() -> None:
    document = channel()
    data, scanner = shown(document | {"v3": {"conda": document["packages.conda"]}, "packages.conda": {}}, 1000)
    assert index_plain_repodata(data, scanner) is None


def test_another_layout_is_given_up_in_time() -> None:
    """Whatever its length, only some megabytes of it are held in memory."""
    scanner = PlainRepodataScanner(10**6)
    for _ in range(100):
        scanner.feed(b'{"a": 1}, ' * 100_000)
    with pytest.raises(NotPlain):
        scanner.skeleton()
