"""Files that appear complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc.system.atomic_file import atomic_file, write_file


@pytest.mark.parametrize("name", ["a" * 255, "語" * 85, "🧪" * 63], ids=["one byte", "three bytes", "four bytes"])
def test_a_name_may_be_as_long_as_the_file_system_allows(name: str, tmp_path: Path) -> None:
    write_file(tmp_path / name, b"content", durable=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"content"


def test_a_failure_leaves_the_old_content_and_no_other_file(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "file") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
