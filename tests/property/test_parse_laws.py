"""Laws of parsing manifests."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import ManifestError
from envc.fetch.net.urls import redact, url_mistake
from envc.locking.manifest.document import ManifestDocument
from envc.locking.manifest.load import parse_manifest
from envc.locking.manifest.names import matches, overlap
from envc.locking.manifest.report import Report
from envc.locking.manifest.shape import Shaper
from tests.support.toml_texts import TomlText

_WORDS = [
    *("project", "sources", "targets", "groups", "steps", "constraints", "policy", "mapping", "virtual-packages"),
    *("name", "python", "kind", "pypi", "conda", "on", "env", "run", "needs", "linux-64", "prereleases", "version"),
    *("exclude-newer", "exclude-newer-package", "odd", "platforms", "editable", "channels"),
]
_VALUES = st.recursive(
    st.one_of(st.sampled_from(["a", "3.12", "never", "requests>=2", "linux-64", "pypi"]), st.integers(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4)),
    max_leaves=20,
)
_DOCUMENTS = st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=6)


@given(_DOCUMENTS)
def test_a_value_has_mistakes_exactly_if_msgspec_refuses_it(document: dict[str, Any]) -> None:
    report = Report()
    part = Shaper(report, lambda key_path: None).shape(document, ManifestDocument)
    try:
        msgspec.convert(document, ManifestDocument)
    except msgspec.ValidationError:
        assert report.mistakes
    else:
        assert not report.mistakes
        assert part == document
    msgspec.convert(part, ManifestDocument)


@given(_DOCUMENTS)
def test_every_document_gives_a_manifest_or_one_report(document: dict[str, Any]) -> None:
    writer = TomlText(lambda ways: 0)
    writer.table(document)
    try:
        parse_manifest(writer.text, Path("manifest.toml"))
    except ManifestError as error:
        assert error.mistakes
        places = [(mistake.line, mistake.column) for mistake in error.mistakes]
        assert places == sorted(places)


@given(st.text(alphabet="ab-*?", min_size=1, max_size=4), st.text(alphabet="ab-*?", min_size=1, max_size=4))
def test_globs_overlap_exactly_when_some_name_matches_both(left: str, right: str) -> None:
    # No shorter witness is missed: a name longer than both patterns together repeats a state of the two automata.
    names = ("".join(letters) for size in range(9) for letters in product("ab-", repeat=size))
    witness = next((name for name in names if matches(left, name) and matches(right, name)), None)
    assert overlap(left, right) == overlap(right, left) == (witness is not None)


@given(st.sampled_from(["https", "git+https", "s3"]), st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_urls_with_passwords_are_refused_and_redacted(scheme: str, user: str, password: str) -> None:
    secret = f"s3cr3t{''.join(filter(str.isalnum, password))}"
    url = f"{scheme}://{''.join(filter(str.isalnum, user))}:{secret}@example.com/simple"
    assert url_mistake(url) is not None
    assert secret not in redact(f"{url!r} is no URL")
