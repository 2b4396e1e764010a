"""The fast paths for prefix records, which do not decode them, give the same result as decoding."""

from __future__ import annotations

import msgspec
import pytest

from envc.shipping.unpack.conda_meta import (
    InstalledPath,
    Link,
    PathsData,
    PrefixRecord,
    decode_summary,
    encode_record,
    with_origin,
)

FILE = InstalledPath(path="share/file", path_type="hardlink", sha256="0" * 64, size_in_bytes=1)


def record(*paths: InstalledPath, **fields: str) -> PrefixRecord:
    return PrefixRecord(
        name="tool",
        version="1.0",
        build="h0_0",
        build_number=0,
        subdir="linux-64",
        depends=('a "quoted" thing',),
        fn="tool-1.0-h0_0.conda",
        sha256="1" * 64,
        size=10,
        files=tuple(path.path for path in paths),
        paths_data=PathsData(paths=paths),
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("channel", ["made", 'https://example.com/"odd"\\', "caf\u00e9"])
def test_an_origin_is_added_as_if_decoded(channel: str) -> None:
    bare = record(FILE)
    full = msgspec.structs.replace(bare, url=f"{channel}/x", channel=channel, link=Link())
    assert with_origin(encode_record(bare), f"{channel}/x", channel) == encode_record(full)


@pytest.mark.parametrize(
    "change",
    [
        {"prefix_placeholder": "/opt/placeholder", "file_mode": "text"},
        {"no_link": True},
        {"path_type": "directory", "sha256": None, "size_in_bytes": None},
    ],
)
def test_records_that_need_work_are_detected_without_decoding(change: dict[str, object]) -> None:
    other = msgspec.structs.replace(FILE, path="share/other", **change)
    assert not decode_summary(encode_record(record(FILE, other))).is_plain


def test_a_record_without_work_is_plain_unless_it_has_an_origin() -> None:
    glance = decode_summary(encode_record(record(FILE)))
    assert glance.is_plain
    assert (glance.name, glance.version, glance.build, glance.subdir) == ("tool", "1.0", "h0_0", "linux-64")
    assert not decode_summary(encode_record(record(FILE, channel="other"))).is_plain
