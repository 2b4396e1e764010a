"""Where the parts of a wheel are installed."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envc.model.digest import Sha256
from envc.model.layout_names import python_layout, usual_site
from envc.shipping.format.decode import read_object
from envc.shipping.format.encode import write_object
from envc.shipping.format.paths import check_layout
from envc.shipping.store.objects import bytes_reader
from envc.shipping.unpack.layout import parse_layout
from envc.shipping.unpack.wheel import Wheel, open_wheel
from envc_solvers.target import PLATFORMS, Python, default_target
from tests.support.wheels import Distribution, build_wheel, zip_bytes


@contextmanager
def opened(wheel: Distribution, folder: Path, layout: str) -> Iterator[Wheel]:
    with open_wheel(wheel.write(folder), wheel.file, layout) as result:
        yield result


def tree(wheel: Distribution, folder: Path, layout: str = "py3.12-posix") -> dict[str, tuple[int, bytes]]:
    """Return mode and content of every path of the wheel's object."""
    out = io.BytesIO()
    with opened(wheel, folder, layout) as result:
        index, _ = write_object(result.entries, out, layout=layout, artifact=Sha256(wheel.sha256), level=1)
        result.check(index.members)
    pieces = read_object(index, bytes_reader(out.getvalue()))
    return {piece.member.path: (piece.member.mode, bytes(piece.data)) for piece in pieces}


FULL = build_wheel(
    "Full.Demo",
    "2.0",
    requires=["other>=1; python_version < '4'"],
    files={
        "full_demo/__init__.py": "def main() -> int:\n    return 0\n",
        "full_demo/tool.sh": "#!/bin/sh\n",
        "full_demo-2.0.data/purelib/pure.py": "p = 1\n",
        "full_demo-2.0.data/platlib/plat.py": "p = 2\n",
        "full_demo-2.0.data/scripts/full-script": "#!python\nprint(1)\n",
        "full_demo-2.0.data/scripts/full-shell": "#!/bin/sh\necho 1\n",
        "full_demo-2.0.data/headers/full.h": "int full;\n",
        "full_demo-2.0.data/data/share/full/data.txt": "data\n",
    },
    entry_points={"console_scripts": {"full": "full_demo:main"}},
    executables=["full_demo/tool.sh"],
    extra_dist_info={"direct_url.json": "{}", "REQUESTED": "", "INSTALLER": "somebody\n", "licenses/LICENSE": "MIT\n"},
)


def test_every_part_is_installed_at_its_path_on_posix(tmp_path: Path) -> None:
    files = tree(FULL, tmp_path)
    site = "lib/python3.12/site-packages"
    info = f"{site}/full_demo-2.0.dist-info"
    assert {path: oct(mode) for path, (mode, _) in files.items()} == {
        f"{site}/full_demo/__init__.py": "0o644",
        f"{site}/full_demo/tool.sh": "0o755",
        f"{site}/pure.py": "0o644",
        f"{site}/plat.py": "0o644",
        "bin/full": "0o755",
        "bin/full-script": "0o755",
        "bin/full-shell": "0o755",
        "include/site/python3.12/full-demo/full.h": "0o644",
        "share/full/data.txt": "0o644",
        f"{info}/METADATA": "0o644",
        f"{info}/WHEEL": "0o644",
        f"{info}/entry_points.txt": "0o644",
        f"{info}/licenses/LICENSE": "0o644",
        f"{info}/INSTALLER": "0o644",
        f"{info}/RECORD": "0o644",
    }
    assert files[f"{info}/INSTALLER"][1] == b"envc\n"
    assert files["bin/full-script"][1].startswith(b"#!/bin/sh\n'''exec'")
    assert files["bin/full-shell"][1] == b"#!/bin/sh\necho 1\n"


def test_every_part_is_installed_at_its_path_on_windows(tmp_path: Path) -> None:
    files = tree(FULL, tmp_path, "nt")
    site = "Lib/site-packages"
    assert {
        "Scripts/full.exe",
        "Scripts/full-script",
        "Scripts/full-shell",
        f"{site}/pure.py",
        f"{site}/plat.py",
    } < set(files)
    assert "Include/site/full-demo/full.h" in files
    assert files["Scripts/full-script"][1] == b"#!python\nprint(1)\n"
    record = files[f"{site}/full_demo-2.0.dist-info/RECORD"][1].decode()
    assert "../../Scripts/full.exe,sha256=" in record


def test_record_lists_the_installed_files(tmp_path: Path) -> None:
    files = tree(FULL, tmp_path)
    site = Path("lib/python3.12/site-packages")
    rows = list(csv.reader(io.StringIO(files[f"{site}/full_demo-2.0.dist-info/RECORD"][1].decode())))
    assert rows == sorted(rows)
    paths = {row[0] for row in rows}
    assert "../../../bin/full" in paths
    resolved = {Path(*_resolve(site / path)).as_posix() for path in paths}
    assert resolved == set(files)
    assert [row[1:] for row in rows if row[0].endswith("/RECORD")] == [["", ""]]


def _resolve(path: Path) -> list[str]:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return parts


def test_the_installer_library_accepts_the_record(tmp_path: Path) -> None:
    """The `installer` library checks an archive against the RECORD that envc wrote."""
    from installer.records import RecordEntry, parse_record_file

    files = tree(FULL, tmp_path)
    site = Path("lib/python3.12/site-packages")
    text = files[f"{site}/full_demo-2.0.dist-info/RECORD"][1].decode()
    for fields in parse_record_file(text.splitlines()):
        entry = RecordEntry.from_elements(*fields)
        if entry.hash_ is not None:
            content = files[Path(*_resolve(site / entry.path)).as_posix()][1]
            assert entry.validate_stream(io.BytesIO(content)), entry.path


def test_facts_of_the_metadata_are_returned(tmp_path: Path) -> None:
    with opened(FULL, tmp_path, "py3.12-posix") as wheel:
        assert (wheel.metadata.name, wheel.metadata.version) == ("full-demo", "2.0")
        assert [str(each) for each in wheel.metadata.requires] == ['other>=1; python_version < "4"']


def test_nothing_depends_on_the_order_of_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(FULL.data)) as archive:
        members = {name: archive.read(name) for name in reversed(archive.namelist())}
    other = Distribution(FULL.file, FULL.name, FULL.version, zip_bytes(members, executables=["full_demo/tool.sh"]), b"")
    with opened(FULL, tmp_path, "py3.12-posix") as first:
        expected = first.members
    with opened(other, tmp_path, "py3.12-posix") as second:
        assert second.members == expected


def test_folders_are_not_installed_as_files(tmp_path: Path) -> None:
    buffer = io.BytesIO(build_wheel("demo").data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.mkdir("demo_data")
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(buffer.getvalue())
    with open_wheel(path, path.name, "py3.12-posix") as wheel:
        assert not [entry for entry in wheel.entries if "demo_data" in entry.path]


def test_an_entry_point_replaces_a_script_of_its_name(tmp_path: Path) -> None:
    wheel = build_wheel(
        "demo",
        files={"demo.py": "", "demo-1.0.data/scripts/demo": "#!/bin/sh\n"},
        entry_points={"console_scripts": {"demo": "demo:main"}},
    )
    assert b"from demo import main" in tree(wheel, tmp_path)["bin/demo"][1]


@pytest.mark.parametrize(
    ("layout", "place", "start"), [("py3.12-posix", "bin/demo", b"#!/bin/sh\n"), ("nt", "Scripts/demo.exe", b"MZ")]
)
def test_a_launcher_is_executable_and_replaces_the_wheels_own_script(
    layout: str, place: str, start: bytes, tmp_path: Path
) -> None:
    wheel = build_wheel(
        "demo",
        files={"demo.py": "", f"demo-1.0.data/scripts/{place.rpartition('/')[2]}": "#!/bin/old\n"},
        entry_points={"console_scripts": {"demo": "demo:main"}},
    )
    mode, content = tree(wheel, tmp_path, layout)[place]
    assert (mode, content[: len(start)]) == (0o755, start)


@pytest.mark.parametrize(
    ("mode", "installed"), [(0o644, 0o644), (0o666, 0o644), (0o744, 0o755), (0o654, 0o755), (0o645, 0o755), (0, 0o644)]
)
def test_a_file_is_executable_if_any_execute_bit_is_set(mode: int, installed: int, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"demo.py": "", "tool": ""})
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            if info.filename == "tool":
                info.external_attr = (0o100000 | mode) << 16
            new.writestr(info, old.read(info))
    changed = Distribution(wheel.file, wheel.name, wheel.version, buffer.getvalue(), b"")
    assert tree(changed, tmp_path)["lib/python3.12/site-packages/tool"][0] == installed


def test_the_version_of_a_folder_may_be_spelt_differently(tmp_path: Path) -> None:
    wheel = build_wheel("demo", "1.0.0")
    other = Distribution("demo-1.0-py3-none-any.whl", wheel.name, "1.0", wheel.data, b"")
    assert "lib/python3.12/site-packages/demo-1.0.0.dist-info/RECORD" in tree(other, tmp_path)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_digests_stronger_than_sha256_are_checked(algorithm: str, tmp_path: Path) -> None:
    import base64
    import hashlib

    wheel = build_wheel("demo")
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, members["demo.py"]).digest()).rstrip(b"=").decode()
    rows = members["demo-1.0.dist-info/RECORD"].decode().splitlines()
    rows[0] = f"demo.py,{algorithm}={digest},"
    members["demo-1.0.dist-info/RECORD"] = "\n".join(rows).encode()
    other = Distribution(wheel.file, wheel.name, wheel.version, zip_bytes(members), b"")
    assert tree(other, tmp_path) == tree(wheel, tmp_path)
    members["demo.py"] += b"# changed\n"
    with pytest.raises(Exception, match=r"demo\.py does not match its digest"):
        tree(Distribution(wheel.file, wheel.name, wheel.version, zip_bytes(members), b""), tmp_path)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
@pytest.mark.parametrize(
    "python",
    [Python(minor=(3, 12)), Python(minor=(3, 13), free_threaded=True), Python(implementation="pypy", minor=(3, 10))],
    ids=lambda python: python.key,
)
def test_every_layout_of_the_model_is_understood(platform: str, python: Python) -> None:
    name = python_layout(default_target(platform), python, "host")
    assert python_layout(default_target(platform), python, "host", usual_site(default_target(platform), python)) == name
    layout = parse_layout(name)
    assert (layout.windows is not None) == platform.startswith("win")
    if platform.startswith("win"):
        assert layout.windows == {"win-64": "x64", "win-32": "x86", "win-arm64": "arm64"}[platform]
    else:
        folder = {"cp312": "python3.12", "cp313t": "python3.13t", "pp310": "pypy3.10"}[python.key]
        assert layout.site == f"lib/{folder}/site-packages"


@pytest.mark.parametrize("interpreter", ["conda", "standalone"])
def test_on_windows_a_bundled_interpreter_is_above_the_launchers(interpreter: str) -> None:
    python = Python(minor=(3, 12))
    layout = parse_layout(python_layout(default_target("win-arm64"), python, interpreter))
    assert (layout.name, layout.python, layout.to_python) == ("nt-own-arm64", "python.exe", "../")
    assert (layout.site, layout.scripts, layout.windows) == ("Lib/site-packages", "Scripts", "arm64")
    beside = parse_layout(python_layout(default_target("linux-64"), python, interpreter))
    assert (beside.name, beside.python, beside.to_python) == ("py3.12-posix", "bin/python", "")


@pytest.mark.parametrize("site", ["lib/python/site-packages", "Lib/Some_thing", "lib/python3.13/x-y"])
@pytest.mark.parametrize("platform", ["linux-64", "win-64"])
def test_a_layout_may_have_another_site_packages(site: str, platform: str) -> None:
    name = check_layout(python_layout(default_target(platform), Python(minor=(3, 12)), "conda", site))
    assert parse_layout(name).site == site


@pytest.mark.parametrize(
    "name",
    [
        "",
        "any",
        "py3.12-posix--.2e.2e-x",
        "py3.12-posix---etc",
        "nt--.zz",
        "nt--.c3",
        "py3.12",
        "py2.7-posix",
        "../py3.12-posix",
        "nt-x64",
        "code",
    ],
)
def test_other_names_of_layouts_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a layout of wheels|not an encoded path|not a plain relative path"):
        parse_layout(name)
