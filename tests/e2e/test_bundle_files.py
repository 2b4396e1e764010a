"""Single-file bundles: `envc bundle --output`, and unpacking the file elsewhere with `envc`, `tar` and a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.e2e.conftest import MANIFEST
from tests.support.servers import IndexServer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only `envc hydrate` unpacks bundles for Windows")

Tree = dict[str, tuple[int, str, bytes]]


def tree(root: Path) -> Tree:
    """Return mode, link target and content of every file and link."""
    found: Tree = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[path.relative_to(root).as_posix()] = (0o777, str(path.readlink()), b"")
        elif path.is_file():
            found[path.relative_to(root).as_posix()] = (path.stat().st_mode & 0o777, "", path.read_bytes())
    return found


@pytest.fixture
def file(workplace: Workplace) -> Path:
    """The bundle of the step train for this machine."""
    workplace.ok("lock")
    workplace.ok("bundle", "--output", "train.tar.zst", "--step", "train")
    return workplace.checkout / "train.tar.zst"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Workplace:
    """A machine without manifest, store, cache or index."""
    place = Workplace(tmp_path / "elsewhere", None)
    del place.env["ENVC_STORE"]
    return place


def untar(file: Path, root: Path) -> Path:
    root.mkdir(parents=True)
    with file.open("rb") as data:
        stream = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            archive.extractall(root, filter="tar")
    return root


def relocate(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", root / ".envc/relocate.sh", *arguments]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False, cwd="/")


def shell(command: list[str | Path], **env: str) -> str:
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_machine_needs_only_the_file(file: Path, elsewhere: Workplace, index: IndexServer) -> None:
    index.stop()
    shutil.copy(file, elsewhere.checkout)
    assert elsewhere.ok("run", "train.tar.zst").out == "step train alpha 1.1 hello there\n"
    assert elsewhere.ok("run", "./train.tar.zst", "--", "python", "-c", "print(1)").out == "1\n"
    prefix = elsewhere.folder / "a prefix"
    assert elsewhere.ok("hydrate", "train.tar.zst", "--prefix", str(prefix), "--json").json["made"] is True
    assert elsewhere.ok("hydrate", "train.tar.zst", "--prefix", str(prefix), "--json").json["made"] is False
    assert shell([prefix / "bin/say-alpha"]) == "alpha\n"
    assert (prefix / ".envc/code/main.py").exists()
    assert elsewhere.ok("hydrate", "train.tar.zst", "--json").json["made"] is False, "`run` has made the prefix"


def test_the_hint_for_a_damaged_file_is_to_fetch_or_write_it_again(file: Path, elsewhere: Workplace) -> None:
    """A machine that has only the file cannot bundle."""
    data = bytearray(file.read_bytes())
    data[20] ^= 1
    for bad in (bytes(data), file.read_bytes()[:-9]):
        (elsewhere.checkout / "bad.zst").write_bytes(bad)
        for verb in (("run",), ("hydrate", "--prefix", "prefix")):
            done = elsewhere.fails(1, *verb, "bad.zst")
            assert "hint: get the file again, or write it again with `envc bundle --output`" in done.err
        assert [path.name for path in elsewhere.checkout.iterdir()] == ["bad.zst"]


def test_every_reader_gets_the_tree_that_hydrate_writes(file: Path, elsewhere: Workplace, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    elsewhere.ok("hydrate", str(file), "--prefix", str(prefix))
    unpacked = untar(file, tmp_path / "unpacked")
    hydrated, plain = tree(prefix), tree(unpacked)
    made = {".envc/prefix.json", "bin/python", "bin/python3", f"bin/python{HOST_PYTHON}", "pyvenv.cfg"}
    assert {path: hydrated[path] for path in hydrated.keys() - made} == {
        path: plain[path] for path in plain.keys() - made
    }
    assert plain.keys() & made == {"bin/python"}  # the stand-in for the interpreter
    assert relocate(unpacked, ENVC_PYTHON=elsewhere.env["ENVC_PYTHON"]).returncode == 0
    relocated = tree(unpacked)
    del hydrated[".envc/prefix.json"]
    assert relocated == hydrated


@pytest.mark.engines
@pytest.mark.parametrize("command", ["tar --zstd -xpf {}", "zstd -dqc {} | tar -xpf -", "bsdtar -xpf {}"])
def test_other_programs_unpack_the_same_tree(command: str, file: Path, tmp_path: Path) -> None:
    for program in {"tar", "zstd", "bsdtar"} & set(command.split()) | ({"zstd"} if "--zstd" in command else set()):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; the test compares with it")
    root = tmp_path / "unpacked"
    root.mkdir()
    done = subprocess.run(command.format(f"'{file}'"), shell=True, cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert tree(root) == tree(untar(file, tmp_path / "judge"))


def test_the_unpacked_tree_is_a_virtual_environment(file: Path, tmp_path: Path) -> None:
    root = untar(file, tmp_path / "an unpacked tree")
    assert relocate(root, sys.executable).returncode == 0
    facts = "import sys, alpha; print(sys.prefix, sys.prefix != sys.base_prefix, alpha.__file__, sep='|')"
    module = root / f"lib/python{HOST_PYTHON}/site-packages/alpha.py"
    assert shell([root / "bin/python", "-I", "-c", facts]) == f"{root}|True|{module}\n"
    moved = root.rename(tmp_path / "moved")
    assert shell([moved / "bin/say-alpha"]) == "alpha\n"
    assert relocate(moved, sys.executable).returncode == 0  # a second time: the files of the first time are no obstacle


def test_console_scripts_work_as_the_first_call(file: Path, tmp_path: Path) -> None:
    root = untar(file, tmp_path / "unpacked")
    assert not (root / "pyvenv.cfg").exists()
    assert shell([root / "bin/say-alpha"], ENVC_PYTHON=sys.executable) == "alpha\n"
    assert (root / "bin/python").is_symlink()
    fresh = untar(file, tmp_path / "fresh")
    assert shell([fresh / "bin/python", "-c", "import alpha; print(alpha.__version__)"]) == "1.1\n"


def test_a_missing_python_is_reported(file: Path, tmp_path: Path) -> None:
    root = untar(file, tmp_path / "unpacked")
    other = tmp_path / "python-of-another-kind"
    other.write_text("#!/bin/sh\ncat >/dev/null\nexit 3\n")
    other.chmod(0o755)
    done = relocate(root, ENVC_PYTHON=str(other))
    assert done.returncode == 1
    assert (
        done.stderr == f"relocate.sh: this machine has no CPython {HOST_PYTHON} for {host_platform()} among: {other}\n"
    )
    assert not (root / "pyvenv.cfg").exists()
    script = subprocess.run(
        [root / "bin/say-alpha"], env=os.environ | {"ENVC_PYTHON": str(other)}, capture_output=True, check=False
    )
    assert script.returncode == 127
    # The tree's own bin on PATH only leads back to the stand-in.
    loop = relocate(root, PATH=f"{root}/bin:{os.environ['PATH']}", ENVC_PYTHON="python")
    assert loop.returncode == 1
    assert not (root / "pyvenv.cfg").exists()


def test_the_same_inputs_give_the_same_bytes(file: Path, workplace: Workplace, tmp_path: Path) -> None:
    twin = Workplace(tmp_path / "a twin in another place", workplace.env["ENVC_INDEX_URL"])
    shutil.copytree(workplace.checkout, twin.checkout, dirs_exist_ok=True)
    (twin.checkout / file.name).unlink()
    bundled = twin.ok("bundle", "--step", "train", "--platform", host_platform(), "--output", file.name, "--json").json
    assert (twin.checkout / file.name).read_bytes() == file.read_bytes()
    assert bundled["output"]["size"] == file.stat().st_size
    workplace.ok("bundle", "--output", file.name, "--step", "train")
    assert (twin.checkout / file.name).read_bytes() == file.read_bytes()


def test_a_file_for_windows_can_be_unpacked_anywhere(workplace: Workplace, elsewhere: Workplace) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--output", "w.zst", "--step", "train", "--platform", "win-64")
    file = workplace.checkout / "w.zst"
    prefix = elsewhere.folder / "windows"
    elsewhere.ok("hydrate", str(file), "--prefix", str(prefix))
    plain, hydrated = tree(untar(file, elsewhere.folder / "plain")), tree(prefix)
    assert hydrated.pop(".envc/prefix.json")
    assert plain == hydrated
    assert "Scripts/say-alpha.exe" in plain and ".envc/relocate.sh" not in plain
    assert "cannot run here" in elsewhere.fails(2, "hydrate", str(file)).err
    assert "the environment needs win-64" in elsewhere.fails(1, "run", str(file)).err


def test_a_file_contains_one_step_and_one_target(workplace: Workplace, elsewhere: Workplace, file: Path) -> None:
    done = workplace.fails(2, "bundle", "--output", "x.zst")
    assert "name one with --step: prepare, report, train" in done.err
    both = ("--platform", "linux-64", "--platform", "win-64")
    done = workplace.fails(2, "bundle", "--output", "x.zst", "--step", "train", *both)
    assert "name one with --platform: linux-64, win-64" in done.err
    assert not (workplace.checkout / "x.zst").exists()
    assert "choose another --output" in workplace.fails(1, "bundle", "--step", "train", "--output", "main.py/x.zst").err
    for options in (("--store", "x"), ("--platform", "win-64"), ("--frozen",)):
        assert f"{options[0]} cannot be used with" in elsewhere.fails(2, "hydrate", str(file), *options).err
    assert "cannot be read: No such file" in elsewhere.fails(1, "hydrate", "missing.tar.zst").err
    (elsewhere.checkout / "plain.zst").write_bytes(zstandard.compress(os.urandom(100)))
    assert "is not an object or bundle of envc, or its end is missing" in elsewhere.fails(1, "run", "plain.zst").err


def test_with_a_manifest_the_file_must_match_the_lock(workplace: Workplace, file: Path) -> None:
    manifest = ("--manifest", str(workplace.manifest))
    prefix = ("--prefix", str(workplace.folder / "prefix"))
    workplace.ok("hydrate", str(file), *manifest, *prefix)
    workplace.write(MANIFEST.replace("alpha>=1", "alpha<1.1"))
    assert "is out of date" in workplace.fails(1, "hydrate", str(file), *manifest, *prefix).err
    workplace.ok("lock")
    assert "another environment" in workplace.fails(1, "hydrate", str(file), *manifest, *prefix).err
    assert "another environment" in workplace.fails(1, "run", *manifest, str(file)).err
    workplace.write(MANIFEST.replace("steps.train", "steps.learn"))
    workplace.ok("lock")
    assert "no step train" in workplace.fails(2, "hydrate", str(file), *manifest, *prefix).err


def test_code_in_the_cache_is_not_trusted(elsewhere: Workplace, file: Path) -> None:
    assert elsewhere.ok("run", str(file)).out == "step train alpha 1.1 hello there\n"
    (main,) = elsewhere.cache.glob("code/*/files/.envc/code/main.py")
    main.chmod(0o644)
    main.write_text(main.read_text().replace("step", "evil"))  # of the same size
    assert elsewhere.ok("run", str(file)).out == "step train alpha 1.1 hello there\n"
