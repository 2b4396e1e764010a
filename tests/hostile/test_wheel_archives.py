"""Hostile wheels whose digest is right. Each is valid except for the one thing that its test changes."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from envc.model.digest import Sha256
from envc.shipping.format.encode import write_object
from envc.shipping.unpack.errors import BadArtifact
from envc.shipping.unpack.wheel import open_wheel
from envc.shipping.unpack.zips import Limits
from tests.support.wheels import Distribution, build_wheel

LAYOUT = "py3.12-posix"
FILE = "demo-1.0-py3-none-any.whl"
DIST_INFO = "demo-1.0.dist-info"


def install(
    data: bytes, folder: Path, *, file: str = FILE, layout: str = LAYOUT, limits: Limits | None = None
) -> set[str]:
    """Return the paths of a wheel's object, and verify every digest."""
    path = folder / "wheel"
    path.write_bytes(data)
    with open_wheel(path, file, layout, limits) as wheel:
        index, _ = write_object(wheel.entries, io.BytesIO(), layout=layout, artifact=Sha256("0" * 64), level=1)
        wheel.check(index.members)
    return {member.path for member in index.members}


def refusal(data: bytes, folder: Path, *, file: str = FILE, layout: str = LAYOUT, limits: Limits | None = None) -> str:
    """Return why a wheel is refused, and assert that the message names the file."""
    with pytest.raises(BadArtifact) as refused:
        install(data, folder, file=file, layout=layout, limits=limits)
    assert str(refused.value).startswith(f"{file} cannot be installed: ")
    return refused.value.reason


def rebuilt(
    wheel: Distribution, change: Callable[[zipfile.ZipInfo, bytes], tuple[zipfile.ZipInfo, bytes] | None]
) -> bytes:
    """Return the archive with entries changed or (None) left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            changed = change(info, old.read(info))
            if changed is not None:
                new.writestr(*changed)
    return buffer.getvalue()


def with_line(wheel: Distribution, line: str) -> bytes:
    """Return the archive with a line added to RECORD."""
    return rebuilt(
        wheel, lambda info, data: (info, data + line.encode() if info.filename.endswith("/RECORD") else data)
    )


@pytest.fixture
def wheel() -> Distribution:
    return build_wheel("demo")


def test_the_unchanged_wheel_is_installed(wheel: Distribution, tmp_path: Path) -> None:
    assert install(wheel.data, tmp_path) == {
        "lib/python3.12/site-packages/demo.py",
        f"lib/python3.12/site-packages/{DIST_INFO}/INSTALLER",
        f"lib/python3.12/site-packages/{DIST_INFO}/METADATA",
        f"lib/python3.12/site-packages/{DIST_INFO}/RECORD",
        f"lib/python3.12/site-packages/{DIST_INFO}/WHEEL",
    }


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../outside.py", "not a plain relative path"),
        ("demo/../../outside.py", "not a plain relative path"),
        ("demo-1.0.data/data/../../../outside.py", "not a plain relative path"),
        ("/etc/outside.py", "not a plain relative path"),
        ("//server/share/outside.py", "not a plain relative path"),
        ("demo/./inside.py", "not a plain relative path"),
        ("demo//inside.py", "not a plain relative path"),
        ("C:/outside.py", "starts with a drive"),
        ("c:outside.py", "starts with a drive"),
        ("..\\outside.py", "backslash"),
        ("demo\\outside.py", "backslash"),
        ("\\\\server\\share\\outside.py", "backslash"),
        ("demo/new\nline.py", "control character"),
        ("d" * 256 + ".py", "too long"),
        ("demo-1.0.data/data/.envc/record.json", "reserved folder"),
        ("demo-1.0.data/data/.ENVC/record.json", "reserved folder"),
    ],
)
def test_names_that_leave_the_folder_are_refused(path: str, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(build_wheel("demo", files={path: "x = 1\n"}).data, tmp_path)


def test_a_name_with_a_nul_byte_is_refused(tmp_path: Path) -> None:
    data = build_wheel("demo", files={"demo.py_.txt": "x = 1\n"}).data
    assert "control character" in refusal(data.replace(b"demo.py_.txt", b"demo.py\0.txt"), tmp_path)


@pytest.mark.parametrize("path", ["demo/aux.py", "demo/x:stream", "demo/trailing. ", "demo/what?.py"])
def test_names_that_windows_reads_differently_are_refused(path: str, tmp_path: Path) -> None:
    data = build_wheel("demo", files={path: "x = 1\n"}).data
    assert f"lib/python3.12/site-packages/{path}" in install(data, tmp_path)
    assert "not a valid file name on Windows" in refusal(data, tmp_path, layout="nt")


def test_a_duplicate_entry_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    buffer = io.BytesIO(wheel.data)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("demo.py", "evil = True\n")
    assert "'demo.py' occurs twice" in refusal(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize(
    ("one", "other"), [("demo.py", "DEMO.py"), ("demo.py", "Demo.PY"), ("caf\u00e9", "cafe\u0301")]
)
def test_entries_that_differ_only_in_case_or_normal_form_are_refused_for_windows(
    one: str, other: str, tmp_path: Path
) -> None:
    """Linux keeps them apart. For macOS, `check_case` refuses them in the environment."""
    data = build_wheel("demo", files={one: "1", other: "2"}).data
    assert "only in case" in refusal(data, tmp_path, layout="nt")
    assert {f"lib/python3.12/site-packages/{name}" for name in (one, other)} < install(data, tmp_path)


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    data = build_wheel("demo", files={"demo": "x", "demo/inner.py": ""}).data
    assert "is both a file and a folder" in refusal(data, tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_special_files_are_refused(kind: int, wheel: Distribution, tmp_path: Path) -> None:
    def change(info: zipfile.ZipInfo, data: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if info.filename == "demo.py":
            info.external_attr = (kind | 0o777) << 16
        return info, data

    assert "'demo.py' is neither a file nor a folder" in refusal(rebuilt(wheel, change), tmp_path)


def test_a_folder_with_content_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    data = rebuilt(wheel, lambda info, data: (info, data))
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("folder/", b"content")
    assert "'folder/' is a folder with content" in refusal(buffer.getvalue(), tmp_path)


def patched(data: bytes, *, signature: bytes, field: int, value: int, size: int = 2) -> bytes:
    """Return the archive with one little-endian field changed in the first header with this signature."""
    at = data.index(signature) + field
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


LOCAL, DIRECTORY, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def test_an_encrypted_entry_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    assert "is encrypted" in refusal(patched(wheel.data, signature=DIRECTORY, field=8, value=1), tmp_path)


def test_an_unsupported_compression_method_is_refused(tmp_path: Path) -> None:
    data = build_wheel("demo", compression=zipfile.ZIP_BZIP2).data
    assert "compressed with method 12" in refusal(data, tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "size"),
    [(6, 0x800, 2), (8, 0, 2), (14, 1, 4), (18, 1, 4), (22, 1, 4), (30, ord("D"), 1)],
    ids=["flags", "method", "checksum", "packed size", "size", "name"],
)
def test_a_header_that_contradicts_the_directory_is_refused(
    field: int, value: int, size: int, wheel: Distribution, tmp_path: Path
) -> None:
    data = patched(wheel.data, signature=LOCAL, field=field, value=value, size=size)
    assert "and the directory disagree" in refusal(data, tmp_path)


def streamed(**options: bool) -> bytes:
    """Return the same wheel as made by a writer that cannot seek: sizes follow the contents."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(io.BytesIO(build_wheel("demo").data)) as old, zipfile.ZipFile(pipe, "w") as new:
        for info in old.infolist():
            with new.open(info.filename, "w", force_zip64=options.get("large", False)) as member:
                member.write(old.read(info))
    return pipe.getvalue()


@pytest.mark.parametrize("large", [False, True])
def test_a_streamed_archive_is_read(large: bool, tmp_path: Path) -> None:
    assert "lib/python3.12/site-packages/demo.py" in install(streamed(large=large), tmp_path)


def test_a_streamed_archive_with_wrong_trailing_sizes_is_refused(tmp_path: Path) -> None:
    data = patched(streamed(), signature=b"PK\x07\x08", field=12, value=7, size=4)
    assert "the descriptor after 'demo.py' and the directory disagree" in refusal(data, tmp_path)


def test_a_streamed_archive_with_wrong_leading_sizes_is_refused(tmp_path: Path) -> None:
    data = patched(streamed(), signature=LOCAL, field=22, value=7, size=4)
    assert "the header of 'demo.py' and the directory disagree about its size" in refusal(data, tmp_path)


def test_a_large_header_is_read(wheel: Distribution, tmp_path: Path) -> None:
    """A writer that did not know the size in advance reserves space for 64-bit sizes (ZIP64)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            with new.open(info.filename, "w", force_zip64=True) as member:
                member.write(old.read(info))
    assert "lib/python3.12/site-packages/demo.py" in install(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("named", ["another.py", "demo.py"])
def test_a_second_name_in_an_extra_field_is_refused(named: str, wheel: Distribution, tmp_path: Path) -> None:
    """Info-ZIP's Unicode path, which unzip and some installers use and Python's reader ignores."""
    raw = b"demo.py"
    field = struct.pack("<BL", 1, zlib.crc32(raw)) + named.encode()

    def change(info: zipfile.ZipInfo, data: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if info.filename.encode() == raw:
            info.extra = struct.pack("<HH", 0x7075, len(field)) + field
        return info, data

    data = rebuilt(wheel, change)
    if named.encode() == raw:
        install(data, tmp_path)
    else:
        assert "'demo.py' has another name in an extra field" in refusal(data, tmp_path)


def test_bytes_before_the_archive_are_refused(wheel: Distribution, tmp_path: Path) -> None:
    assert "bytes are before the archive" in refusal(b"#!/bin/sh\nexit 1\n" + wheel.data, tmp_path)


def test_bytes_after_the_archive_are_refused(wheel: Distribution, tmp_path: Path) -> None:
    assert "bytes follow its end" in refusal(wheel.data + b"tail", tmp_path)


def test_two_archives_in_one_file_are_refused(wheel: Distribution, tmp_path: Path) -> None:
    other = build_wheel("demo", files={"demo.py": "evil = True\n"})
    assert "bytes are before the archive" in refusal(other.data + wheel.data, tmp_path)


def test_an_archive_hidden_in_the_comment_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    """Readers that use the first end record see another archive than readers that use the last one."""
    at = wheel.data.index(DIRECTORY)
    second = bytearray(wheel.data[at:])
    struct.pack_into("<L", second, len(second) - 6, len(wheel.data))
    data = wheel.data[:-2] + len(second).to_bytes(2, "little") + second
    assert f"bytes after '{DIST_INFO}/RECORD' belong to no entry" in refusal(data, tmp_path)


def test_a_comment_is_accepted(wheel: Distribution, tmp_path: Path) -> None:
    buffer = io.BytesIO(wheel.data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"built by nobody"
    assert "lib/python3.12/site-packages/demo.py" in install(buffer.getvalue(), tmp_path)


@pytest.mark.slow
def test_an_archive_with_more_than_65535_entries_is_read(tmp_path: Path) -> None:
    files = {f"demo/{number}": "" for number in range(65_600)}
    assert len(install(build_wheel("demo", files=files, compression=0).data, tmp_path)) == 65_604


def test_an_entry_hidden_between_others_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    """A streaming reader would install the entry, but the directory does not list it."""
    extra = io.BytesIO()
    with zipfile.ZipFile(extra, "w") as archive:
        archive.writestr("hidden.py", "evil = True\n")
    hidden = extra.getvalue()[: extra.getvalue().index(DIRECTORY)]
    start = wheel.data.index(DIRECTORY)
    end = wheel.data.rindex(END)
    data = bytearray(wheel.data[:start] + hidden + wheel.data[start:])
    struct.pack_into("<L", data, end + len(hidden) + 16, start + len(hidden))
    assert "belong to no entry" in refusal(bytes(data), tmp_path)


def test_overlapping_entries_are_refused(wheel: Distribution, tmp_path: Path) -> None:
    """Zip bombs are made this way: they unpack the same content many times."""
    second = wheel.data.index(DIRECTORY, wheel.data.index(DIRECTORY) + 4)
    data = bytearray(wheel.data)
    struct.pack_into("<L", data, second + 42, 0)
    assert "entries overlap" in refusal(bytes(data), tmp_path)


def test_a_member_longer_than_the_file_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    """Both headers of the second-to-last member state the same size, which is too large for the file."""
    data = bytearray(wheel.data)
    *_, longer, last = (match.start() for match in re.finditer(re.escape(DIRECTORY), wheel.data))
    (header,) = struct.unpack_from("<L", data, longer + 42)
    struct.pack_into("<L", data, longer + 20, 100_000)
    struct.pack_into("<L", data, header + 18, 100_000)
    struct.pack_into("<L", data, last + 42, header + 30 + len(f"{DIST_INFO}/WHEEL") + 100_000)
    assert "lie outside of the archive" in refusal(bytes(data), tmp_path)


def shifted(data: bytes, by: int) -> bytes:
    """Shift every offset, as if bytes preceded the archive. Lenient readers see the same files."""
    changed = bytearray(data)
    at = data.index(DIRECTORY)
    while changed[at : at + 4] == DIRECTORY:
        struct.pack_into("<L", changed, at + 42, int.from_bytes(changed[at + 42 : at + 46], "little") + by)
        lengths = struct.unpack_from("<HHH", changed, at + 28)
        at += 46 + sum(lengths)
    end = changed.rindex(END)
    struct.pack_into("<L", changed, end + 16, int.from_bytes(changed[end + 16 : end + 20], "little") + by)
    return bytes(changed)


def test_shifted_offsets_are_refused(wheel: Distribution, tmp_path: Path) -> None:
    assert zipfile.ZipFile(io.BytesIO(shifted(wheel.data, 7))).testzip() is None
    assert "its directory is not where its end record says" in refusal(shifted(wheel.data, 7), tmp_path)


@pytest.mark.parametrize("field", [8, 10], ids=["on this disk", "in total"])
def test_a_wrong_count_of_entries_is_refused(field: int, wheel: Distribution, tmp_path: Path) -> None:
    data = patched(wheel.data, signature=END, field=field, value=1)
    assert "it is one of several volumes" in refusal(data, tmp_path)


def test_a_truncated_wheel_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    """`refusal` checks that BadArtifact is raised, and no other error, at every length."""
    for length in range(0, len(wheel.data), 37):
        refusal(wheel.data[:length], tmp_path)


def test_content_that_cannot_be_decompressed_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    """`refusal` checks that BadArtifact is raised, and not an error of the decompressor."""
    at = wheel.data.index(b"demo.py") + len(b"demo.py") + 3
    refusal(wheel.data[:at] + bytes([wheel.data[at] ^ 0xFF]) + wheel.data[at + 1 :], tmp_path)


def test_too_many_entries_are_refused(wheel: Distribution, tmp_path: Path) -> None:
    install(wheel.data, tmp_path, limits=Limits(entries=4))
    assert "4 entries, more than 3" in refusal(wheel.data, tmp_path, limits=Limits(entries=3))


def test_too_much_content_is_refused(tmp_path: Path) -> None:
    data = build_wheel("demo", files={"demo.py": b"#" * 100_000}).data
    install(data, tmp_path, limits=Limits(unpacked=102_000))
    assert "it unpacks from" in refusal(data, tmp_path, limits=Limits(unpacked=100_000))


def test_an_excessive_compression_ratio_is_refused(tmp_path: Path) -> None:
    data = build_wheel("demo", files={"demo.py": b"#" * 5_000_000}).data
    install(data, tmp_path)
    assert "it unpacks from" in refusal(data, tmp_path, limits=Limits(free=1_000_000))


def test_oversized_metadata_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    assert f"{DIST_INFO}/WHEEL is" in refusal(wheel.data, tmp_path, limits=Limits(small=20))


@pytest.mark.parametrize(
    "file", ["demo.whl", "demo-1.0.zip", "demo-one-py3-none-any.whl", "../demo-1.0-py3-none-any.whl"]
)
def test_an_invalid_wheel_name_is_refused(file: str, wheel: Distribution, tmp_path: Path) -> None:
    """`refusal` checks that BadArtifact is raised and names the file."""
    refusal(wheel.data, tmp_path, file=file)


def faults(data: bytes, folder: Path) -> tuple[str, ...]:
    """Return what is wrong with the RECORD of a wheel, which is installed all the same."""
    paths = install(data, folder)
    with open_wheel(folder / "wheel", FILE, LAYOUT) as wheel:
        assert {member.path for member in wheel.members} == paths
        return wheel.record_faults


def test_a_file_missing_from_record_is_told(wheel: Distribution, tmp_path: Path) -> None:
    buffer = io.BytesIO(wheel.data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("more.py", "x = 1\n")
    assert faults(buffer.getvalue(), tmp_path) == ("does not list more.py",)


@pytest.mark.parametrize("stated", [b"", b"crc32=AAAA"])
def test_a_file_without_a_digest_is_told(stated: bytes, tmp_path: Path) -> None:
    wheel = build_wheel("demo")
    line = re.compile(rb"demo\.py,sha256=[^,]*,")
    data = rebuilt(wheel, lambda info, data: (info, line.sub(b"demo.py," + stated + b",", data)))
    assert faults(data, tmp_path) == ("states no digest of demo.py",)


@pytest.mark.parametrize("weak", ["md5", "sha1", "sha224"])
def test_a_weak_digest_is_told_and_compared(weak: str, tmp_path: Path) -> None:
    def stating(content: bytes) -> bytes:
        digest = base64.urlsafe_b64encode(hashlib.new(weak, content).digest()).rstrip(b"=")
        line = re.compile(rb"demo\.py,sha256=[^,]*,")
        new = b"demo.py," + weak.encode() + b"=" + digest + b","
        return rebuilt(build_wheel("demo", files={"demo.py": "x = 1\n"}), lambda i, data: (i, line.sub(new, data)))

    assert faults(stating(b"x = 1\n"), tmp_path) == ("states a weak digest of demo.py",)
    assert "demo.py does not match its digest in RECORD" in refusal(stating(b"x = 2\n"), tmp_path)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_malformed_digest_is_refused(algorithm: str, wheel: Distribution, tmp_path: Path) -> None:
    data = rebuilt(wheel, lambda info, data: (info, data.replace(b"sha256=", f"{algorithm}=AA".encode())))
    assert "malformed digest" in refusal(data, tmp_path)


@pytest.mark.parametrize("spelling", ["./demo.py", "././demo.py", ".//demo.py"])
def test_an_odd_spelling_of_a_path_is_told(spelling: str, wheel: Distribution, tmp_path: Path) -> None:
    data = rebuilt(wheel, lambda info, data: (info, data.replace(b"demo.py,", spelling.encode() + b",")))
    assert faults(data, tmp_path) == (f"spells oddly {spelling}",)
    evil = rebuilt(wheel, lambda i, data: (i, data.replace(b"demo.py,sha256=", spelling.encode() + b",sha256=AAAA")))
    assert "malformed digest for 'demo.py'" in refusal(evil, tmp_path)


@pytest.mark.parametrize("folder", ["demo/", "./demo/", "demo/./"])
def test_a_folder_in_record_is_told(folder: str, wheel: Distribution, tmp_path: Path) -> None:
    assert "lists the folder demo/" in faults(with_line(wheel, f"{folder},,\n"), tmp_path)


def test_content_that_contradicts_record_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    def change(info: zipfile.ZipInfo, data: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        return info, data.replace(b"print", b"evil_") if info.filename == "demo.py" else data

    assert "demo.py does not match its digest in RECORD" in refusal(rebuilt(wheel, change), tmp_path)


@pytest.mark.parametrize("path", ["../../../bin/python", "/etc/passwd", "missing.py"])
def test_a_record_that_lists_missing_files_is_told(path: str, wheel: Distribution, tmp_path: Path) -> None:
    digest = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    found = faults(with_line(wheel, f"{path},{digest},0\n"), tmp_path)
    assert found == (f"lists a file that is absent, {path}",)


def test_of_several_files_that_are_missing_the_first_is_named(wheel: Distribution, tmp_path: Path) -> None:
    lines = "".join(f"{path},,\n" for path in ("zz.py", "aa.py", "mm.py"))
    assert faults(with_line(wheel, lines), tmp_path) == ("lists a file that is absent, aa.py and 2 more",)


def test_two_lines_about_one_file_that_agree_are_one(wheel: Distribution, tmp_path: Path) -> None:
    assert faults(with_line(wheel, "demo.py,,\n"), tmp_path) == ()


def test_a_contradictory_record_is_refused(wheel: Distribution, tmp_path: Path) -> None:
    digest = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert "contradicts itself" in refusal(with_line(wheel, f"demo.py,{digest},0\n"), tmp_path)


@pytest.mark.parametrize("missing", ["RECORD", "WHEEL", "METADATA"])
def test_a_wheel_without_a_required_file_is_refused(missing: str, wheel: Distribution, tmp_path: Path) -> None:
    data = rebuilt(wheel, lambda info, data: None if info.filename.endswith(missing) else (info, data))
    assert missing in refusal(data, tmp_path)


@pytest.mark.parametrize("folder", ["other-1.0.dist-info", "demo-2.0.dist-info", "DEMO-1.0.DIST-INFO"])
def test_a_second_dist_info_folder_is_refused(folder: str, tmp_path: Path) -> None:
    """`refusal` checks that BadArtifact is raised, however the second folder is spelt."""
    data = build_wheel("demo", files={"demo.py": "", f"{folder}/METADATA": "Name: other\nVersion: 1.0\n"}).data
    refusal(data, tmp_path)


@pytest.mark.parametrize(
    "folder", ["demo-1.0.DIST-INFO", "demo-1.0.Dist-info", "demo-one.dist-info", "demo.dist-info", "1.0.dist-info"]
)
def test_a_misspelt_dist_info_folder_is_refused(folder: str, wheel: Distribution, tmp_path: Path) -> None:
    def change(info: zipfile.ZipInfo, data: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        info.filename = info.filename.replace(DIST_INFO, folder)
        return info, data.replace(DIST_INFO.encode(), folder.encode())

    reason = refusal(rebuilt(wheel, change), tmp_path)
    assert f"its dist-info folder '{folder}' belongs to another package or version" in reason


@pytest.mark.parametrize("file", ["other-1.0-py3-none-any.whl", "demo-1.1-py3-none-any.whl"])
def test_a_wheel_of_another_package_or_version_is_refused(file: str, wheel: Distribution, tmp_path: Path) -> None:
    assert "belongs to another package or version" in refusal(wheel.data, tmp_path, file=file)


@pytest.mark.parametrize("metadata", ["Name: other\nVersion: 1.0\n", "Name: demo\nVersion: 2.0\n", "Summary: none\n"])
def test_metadata_of_another_package_or_version_is_refused(metadata: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", metadata=f"Metadata-Version: 2.1\n{metadata}")
    reason = refusal(wheel.data, tmp_path)
    assert "it calls itself" in reason or "it states no values" in reason


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2.0", "wheel format 2.0"),
        ("0.9", "wheel format 0.9"),
        *((text, "cannot be read") for text in ("one", "", "1", "1.", ".1", "1.x", "x.0", "-1.0", "1.0.0")),
        ("1" * 50, f"'{'1' * 40}' cannot be read"),
    ],
)
def test_an_unknown_wheel_format_is_refused(version: str, reason: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", extra_dist_info={"WHEEL": f"Wheel-Version: {version}\n"})
    assert reason in refusal(wheel.data, tmp_path)


@pytest.mark.parametrize("version", ["1.0", "1.9", "1.10"])
def test_a_wheel_of_a_later_minor_format_is_read(version: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", extra_dist_info={"WHEEL": f"Wheel-Version: {version}\n"})
    assert "lib/python3.12/site-packages/demo.py" in install(wheel.data, tmp_path)


def test_the_message_about_many_dist_info_folders_is_cut(tmp_path: Path) -> None:
    folders = [f"{'x' * 60}-{number}.dist-info" for number in range(5)]
    wheel = build_wheel("demo", files={f"{folder}/METADATA": "" for folder in folders})
    reason = refusal(wheel.data, tmp_path)
    assert "6 dist-info folders" in reason
    assert reason.endswith(": " + ", ".join(sorted([DIST_INFO, *folders]))[:200])


def test_a_data_folder_with_another_spelling_is_refused(tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"Demo-1.0.data/purelib/demo.py": ""})
    assert f"'{DIST_INFO}' and 'Demo-1.0.data' are spelt differently" in refusal(wheel.data, tmp_path)


def test_a_folder_that_looks_like_the_data_of_another_package_is_a_package(tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"other-1.0.data/x.py": "", "demo.data/y.py": ""})
    site = "lib/python3.12/site-packages"
    assert {f"{site}/other-1.0.data/x.py", f"{site}/demo.data/y.py"} < install(wheel.data, tmp_path)


@pytest.mark.parametrize("path", ["demo-1.0.data/loose.py", "demo-1.0.data/stdlib/os.py", "demo-1.0.data/purelib"])
def test_data_outside_known_folders_is_refused(path: str, tmp_path: Path) -> None:
    reason = refusal(build_wheel("demo", files={path: ""}).data, tmp_path)
    assert f"'{path}' is in none of the data folders" in reason


@pytest.mark.parametrize("file", ["RECORD.jws", "RECORD.p7s"])
def test_a_signature_may_be_missing_from_record_and_is_not_installed(file: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", extra_dist_info={file: "signature"})
    line = re.compile(rf"{DIST_INFO}/{file},[^\n]*\n".encode())
    data = rebuilt(wheel, lambda info, data: (info, line.sub(b"", data)))
    for each in (data, wheel.data):
        assert not [path for path in install(each, tmp_path) if path.endswith(file)]
    missing = rebuilt(wheel, lambda info, data: None if info.filename.endswith(file) else (info, data))
    assert install(missing, tmp_path)


@pytest.mark.parametrize(("size", "refused"), [("", False), ("13", True), ("0", True)])
def test_a_size_in_record_must_be_right_where_it_is_given(size: str, refused: bool, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"demo.py": "x = 1\n"})
    line = re.compile(rb"(demo\.py,sha256=[^,]*,)6\n")
    data = rebuilt(wheel, lambda info, data: (info, line.sub(rb"\g<1>" + size.encode() + b"\n", data)))
    if refused:
        assert f"demo.py has 6 bytes; RECORD says {size}" in refusal(data, tmp_path)
    else:
        assert install(data, tmp_path)


@pytest.mark.parametrize("begin", ["#!python\n", "#!/bin/sh\n", "\x7fELF"])
@pytest.mark.parametrize("stated", [b"sha256", b"sha512", b""])
def test_a_script_larger_than_any_text_is_read_in_pieces(begin: str, stated: bytes, tmp_path: Path) -> None:
    """Some wheels carry a large program in the folder of the scripts."""
    script = begin + "#" * 5_000_000
    wheel = build_wheel("demo", files={"demo-1.0.data/scripts/demo": script})
    line = re.compile(rb"(scripts/demo),sha256=[^,]*,")
    digest = base64.urlsafe_b64encode(hashlib.sha512(script.encode()).digest()) if stated == b"sha512" else b""
    new = rb"\1," + (stated + b"=" + digest if digest else b"") + b","
    data = rebuilt(wheel, lambda i, data: (i, data if stated == b"sha256" else line.sub(new, data)))
    assert "bin/demo" in install(data, tmp_path, limits=Limits(small=4096, free=10_000_000))


@pytest.mark.parametrize("name", ["WHEEL", "RECORD", "entry_points.txt"])
def test_texts_that_are_not_utf_8_are_refused(name: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", extra_dist_info={name: b"\xff"} if name != "RECORD" else {})
    data = rebuilt(wheel, lambda info, data: (info, b"\xff" if info.filename.endswith(name) else data))
    assert f"{name} is not UTF-8" in refusal(data, tmp_path)


@pytest.mark.parametrize(
    ("layout", "path", "refused"),
    [
        ("nt-own", "data/python.exe", True),
        ("nt-own", "data/Python3.exe", True),
        ("nt", "data/Scripts/python.exe", True),
        ("nt", "data/SCRIPTS/Python.exe", True),
        ("nt", "data/share/python.exe", False),
        ("nt", "data/python.exe", False),
        (LAYOUT, "data/share/python", False),
        (LAYOUT, "data/share/pyvenv.cfg", False),
    ],
)
def test_only_folders_of_the_interpreter_are_reserved(layout: str, path: str, refused: bool, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={f"demo-1.0.data/{path}": "evil"})
    if refused:
        assert "replace the environment's own" in refusal(wheel.data, tmp_path, layout=layout)
    else:
        assert install(wheel.data, tmp_path, layout=layout)


def test_an_unknown_data_folder_is_refused(tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"demo-1.0.data/stdlib/os.py": "evil = True\n"})
    assert "none of the data folders" in refusal(wheel.data, tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "data/pyvenv.cfg",
        "data/PyVenv.cfg",
        "data/bin/python",
        "scripts/python3",
        "scripts/python3.12",
        "data/bin/Python",
    ],
)
def test_files_that_would_replace_the_interpreter_are_refused(path: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={f"demo-1.0.data/{path}": "evil"})
    assert "replace" in refusal(wheel.data, tmp_path)


def test_two_files_for_one_path_are_refused(tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"demo.py": "a", "demo-1.0.data/purelib/demo.py": "b"})
    assert "two of its files would become" in refusal(wheel.data, tmp_path)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("python", "demo:main"),
        ("Python3.exe", "demo:main"),
        ("demo", "demo"),
        ("demo", "demo:"),
        ("demo", "demo:main()"),
        ("demo", "demo;import os:main"),
        ("demo", "demo:main\n  import os"),
        ("demo", "import:main"),
        ("demo", "demo:1main"),
        ("demo", "demo..x:main"),
        ("demo", "demo:main [extra"),
    ],
)
def test_entry_points_for_the_interpreter_or_with_code_are_refused(name: str, reference: str, tmp_path: Path) -> None:
    """`refusal` checks that BadArtifact is raised before a launcher is written."""
    wheel = build_wheel("demo", entry_points={"console_scripts": {name: reference}})
    refusal(wheel.data, tmp_path)


@pytest.mark.parametrize("layout", [LAYOUT, "nt"])
@pytest.mark.parametrize("name", ["app:hi", "@hi", "hi.", ".apprc", "tool~", "../demo", "a/b", "a\\b", "nul", "a b"])
def test_one_odd_script_name_does_not_concern_the_others(name: str, layout: str, tmp_path: Path) -> None:
    """Its script is made where a file can have the name, and left out elsewhere."""
    wheel = build_wheel(
        "demo",
        files={"demo.py": ""}
        | ({} if "/" in name or "\\" in name else {f"demo-1.0.data/scripts/{name}": "#!/bin/sh\n"}),
        entry_points={"console_scripts": {name: "demo:main", "good": "demo:main"}},
    )
    paths = install(wheel.data, tmp_path, layout=layout)
    can_be = "/" not in name and "\\" not in name
    made = f"bin/{name}" if layout == LAYOUT else f"Scripts/{name}.exe"
    assert ("bin/good" if layout == LAYOUT else "Scripts/good.exe") in paths
    assert (made in paths) == (can_be and (layout == LAYOUT or name not in ("app:hi", "nul")))
    with open_wheel(tmp_path / "wheel", FILE, layout) as opened:
        assert bool(opened.remarks) == (not can_be or (layout == "nt" and name in ("app:hi", "hi.", "nul")))
