"""Byte-code is made by the interpreter that loads it, is reproducible, and is used."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import Loading, StoredEnvironment, hydrate
from envc.shipping.prefix.bytecode import NoBytecode, compile_tree, is_module
from tests.support.environments import HOST, record_of
from tests.support.stores import MemoryBlobs
from tests.support.wheels import build_wheel

SITE = "lib/python3/site-packages"
SOURCES = {
    f"{SITE}/alpha/__init__.py": "from alpha.one import f\nNAMES = {'a', 'b', 'c', 'd'}\n",
    f"{SITE}/alpha/one.py": "def f(x):\n    return x in {'red', 'green', 'blue', 'name'} or 1 / 0\n",
    f"{SITE}/alpha/template.py": "def {{ name }}():\n",
    f"{SITE}/alpha/latin.py": b"name = '\xe9'\n",
    f"{SITE}/alpha/deep.py": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    f"{SITE}/sys.py": "raise SystemExit('the wrong sys')\n",
    f"{SITE}/py_compile.py": "raise SystemExit('the wrong py_compile')\n",
    f"{SITE}/beta é.py": "name = 'beta'\n",
    "bin/tool.py": "print(1)\n",
}


def write(root: Path) -> Path:
    for path, text in SOURCES.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def made(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.pyc")}


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    here, there = write(tmp_path / "here"), write(tmp_path / "in another place")
    compile_tree(here, SOURCES, HOST, workers=1)
    os.utime(there / SITE / "alpha/one.py", (0, 0))
    compile_tree(there, reversed(SOURCES), HOST, workers=3)
    assert made(here) == made(there)
    names = {path.rpartition("/")[2].partition(".")[0] for path in made(here)}
    assert names == {"__init__", "one", "sys", "py_compile", "beta é"}


def test_byte_code_is_valid_whatever_the_sources_are(tmp_path: Path) -> None:
    """PEP 552: flags 0b01 mean an unchecked hash."""
    root = write(tmp_path)
    compile_tree(root, SOURCES, HOST)
    source = root / SITE / "alpha/one.py"
    data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert data[4:8] == (1).to_bytes(4, "little")
    assert data[8:16] == importlib.util.source_hash(source.read_bytes())


def test_tracebacks_name_the_real_file(tmp_path: Path) -> None:
    root = write(tmp_path)
    compile_tree(root, SOURCES, HOST)
    code = "import alpha; alpha.f('x')"
    environ = {**os.environ, "PYTHONPATH": str(root / SITE)}
    (root / SITE / "sys.py").unlink()
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert str(root / SITE / "alpha/one.py") in done.stderr
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("lib/python3.12/site-packages/a.py", True),
        ("Lib/site-packages/a/b.py", True),
        ("lib/python3.12/site-packages/a.pyc", False),
        ("bin/a.py", False),
        ("share/site-packages.py", False),
    ],
)
def test_which_files_an_import_may_load(path: str, expected: bool) -> None:
    assert is_module(path) is expected


def test_a_compiled_prefix_imports_no_source(tmp_path: Path) -> None:
    store = MemoryBlobs()
    wheel = build_wheel("alpha", files={"alpha.py": "print(__cached__)\n"})
    stored = StoredEnvironment(store, record_of(store, tmp_path, wheel))
    prefix = tmp_path / "prefix"
    arguments = {"interpreter": HOST, "cache": tmp_path / "cache", "progress": Silent()}
    assert hydrate(stored, prefix, loading=Loading(bytecode=True), **arguments)  # type: ignore[arg-type]
    assert not hydrate(stored, prefix, loading=Loading(bytecode=True), **arguments)  # type: ignore[arg-type]
    (source,) = prefix.rglob("alpha.py")
    cached = Path(importlib.util.cache_from_source(str(source)))
    before = cached.read_bytes()
    python = prefix / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    source.write_text("raise SystemExit('the source was read')\n")
    done = subprocess.run([python, "-I", "-c", "import alpha"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(cached)
    assert cached.read_bytes() == before
    # Without byte-code it is a different prefix, and the cache contains no byte-code.
    assert hydrate(stored, prefix, **arguments)  # type: ignore[arg-type]
    assert made(prefix) == {}


def test_an_interpreter_that_dies_is_reported(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(HOST, executable=shutil.which("false") or "/bin/false")
    with pytest.raises(NoBytecode, match=r"made no bytecode: it ended with 1$"):
        compile_tree(write(tmp_path), SOURCES, broken)


@pytest.mark.skipif(os.name == "nt", reason="a shell script replaces the interpreter")
def test_the_last_output_of_an_interpreter_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\ncat >/dev/null\necho Traceback >&2\necho 'OSError: the disk is full' >&2\nexit 3\n")
    script.chmod(0o755)
    broken = msgspec.structs.replace(HOST, executable=str(script))
    with pytest.raises(NoBytecode, match="it ended with 3 and 'OSError: the disk is full'"):
        compile_tree(write(tmp_path), SOURCES, broken)
