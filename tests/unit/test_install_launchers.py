"""Launchers start the right function with the right interpreter, wherever the prefix is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import which

import pytest

from envc.shipping.unpack.launchers import (
    EntryPoint,
    parse_entry_points,
    posix_launcher,
    posix_script,
    windows_launcher,
)
from envc.shipping.unpack.layout import Machine

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX launchers are shell scripts")


def test_entry_points_are_sorted_and_their_extras_have_no_effect() -> None:
    text = """
# a comment
[console_scripts]
Zeta = demo.cli:main [colour, more]
alpha.beta = demo:App.run

[gui_scripts]
window=demo . gui:show
[other.plugins]
anything = goes here
"""
    with pytest.raises(ValueError, match="window"):
        parse_entry_points(text)
    assert parse_entry_points(text.replace("demo . gui", "demo.gui")) == (
        (
            EntryPoint("Zeta", "demo.cli", "main"),
            EntryPoint("alpha.beta", "demo", "App.run"),
            EntryPoint("window", "demo.gui", "show", "gui"),
        ),
        (),
    )


def test_of_one_name_in_both_groups_the_one_for_a_window_is_made() -> None:
    made, left_out = parse_entry_points("[console_scripts]\ndemo = a:b\n[gui_scripts]\ndemo = a:c\n")
    assert made == (EntryPoint("demo", "a", "c", "gui"),)
    assert left_out == ("its script demo in console_scripts is not made, because gui_scripts has one, too",)


def test_a_script_that_is_declared_twice_is_made_once() -> None:
    text = "[console_scripts]\ndemo = a:b\ndemo = a:b\n[console_scripts]\nother = a:b\n"
    assert parse_entry_points(text) == ((EntryPoint("demo", "a", "b"), EntryPoint("other", "a", "b")), ())


@pytest.mark.parametrize("name", ["app:hi", "@hi", "hi.", ".apprc", "tool~", "-rf", "x;y", "x$(y)", "a b", "\u00e9"])
def test_a_script_with_an_odd_name_is_made(name: str) -> None:
    made, left_out = parse_entry_points(f"[console_scripts]\n{name} = a:b\n")
    assert (made, left_out) == ((EntryPoint(name, "a", "b"),), ())


@pytest.mark.parametrize("name", ["..", "a/b", "../demo", "a\\b", "a\tb", "x" * 256])
def test_a_script_whose_name_no_file_can_have_is_left_out(name: str) -> None:
    made, (reason,) = parse_entry_points(f"[console_scripts]\n{name} = a:b\nother = a:b\n")
    assert made == (EntryPoint("other", "a", "b"),)
    assert reason.endswith("is not made, because no file can have this name")


@pytest.mark.parametrize("text", ["no section = 1\n", "[console_scripts\n", "[console_scripts]\nnothing\n"])
def test_an_unreadable_file_of_entry_points_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"entry_points\.txt cannot be read"):
        parse_entry_points(text)


def make_prefix(prefix: Path, scripts: dict[str, bytes]) -> Path:
    """Make a folder with an interpreter, a module and scripts, which is not yet a virtual environment."""
    binaries = prefix / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    for name, content in scripts.items():
        (binaries / name).write_bytes(content)
        (binaries / name).chmod(0o755)
    (binaries / "where.py").write_text("import sys\ndef main():\n    print(sys.argv)\n    return 3\n")
    return binaries


@posix
@pytest.mark.parametrize("folder", ["plain", "with spaces", "quo'te\"s", "dollar $HOME", "ünï\u00e7ode"])
def test_a_launcher_runs_from_any_folder(folder: str, tmp_path: Path) -> None:
    binaries = make_prefix(tmp_path / folder, {"tool": posix_launcher(EntryPoint("tool", "where", "main"))})
    result = subprocess.run([binaries / "tool", "a b", "$c", ""], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.stdout == f"{[str(binaries / 'tool'), 'a b', '$c', '']}\n"
    assert result.returncode == 3


@posix
@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
def test_a_launcher_runs_under_every_shell(shell: str, tmp_path: Path) -> None:
    program = which(shell)
    if program is None:
        pytest.skip(f"{shell} is not on this machine")
    binaries = make_prefix(tmp_path / "a prefix", {"tool": posix_launcher(EntryPoint("tool", "where", "main"))})
    command = [program, "sh"] if shell == "busybox" else [program]
    result = subprocess.run([*command, binaries / "tool"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (3, "")


@posix
def test_a_launcher_works_through_links(tmp_path: Path) -> None:
    binaries = make_prefix(tmp_path / "a prefix", {"tool": posix_launcher(EntryPoint("tool", "where", "main"))})
    (tmp_path / "shortcuts").mkdir()
    (tmp_path / "direct").symlink_to(binaries / "tool")
    (tmp_path / "shortcuts/indirect").symlink_to("../direct")
    (tmp_path / "folder").symlink_to(binaries)
    for link in ("direct", "shortcuts/indirect", "folder/tool"):
        result = subprocess.run(
            [tmp_path / link],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(binaries), "PATH": "/usr/bin:/bin"},
        )
        assert (result.returncode, result.stderr) == (3, ""), link


# Names that a shell might look up on PATH.
TOOLS = ("realpath", "readlink", "dirname", "env", "sh", "command", "test", "[", "cd", "pwd", "exec", "ls")


@posix
@pytest.mark.parametrize("shell", ["", "dash", "bash"])
def test_packages_with_scripts_called_like_programs_of_the_system_leave_launchers_working(
    shell: str, tmp_path: Path
) -> None:
    """A launcher that asked PATH for `dirname` would find the launcher of that name, and start itself for ever."""
    if shell and which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    launcher = posix_launcher(EntryPoint("tool", "where", "main"))
    binaries = make_prefix(tmp_path / "a prefix", dict.fromkeys((*TOOLS, "tool"), launcher))
    (tmp_path / "link").symlink_to(binaries / "tool")
    (tmp_path / "folder").symlink_to(binaries)
    for path in (binaries / "tool", binaries / "dirname", tmp_path / "link", tmp_path / "folder/tool"):
        result = subprocess.run(
            [*([which(shell) or ""] if shell else []), path],
            env={"PATH": str(binaries), "PYTHONPATH": str(binaries)},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert (result.returncode, result.stderr) == (3, ""), path


@posix
@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_a_launcher_needs_no_path(path: str, tmp_path: Path) -> None:
    """Neither PATH, nor CDPATH, nor the current folder decide which interpreter is run."""
    binaries = make_prefix(tmp_path / "prefix", {"tool": posix_launcher(EntryPoint("tool", "where", "main"))})
    trap = tmp_path / "cwd"
    (trap / "bin").mkdir(parents=True)
    for folder in (trap, trap / "bin"):
        (folder / "python").write_text("#!/bin/sh\necho trapped\n")
        (folder / "python").chmod(0o755)
    (tmp_path / "link").symlink_to("prefix/bin/tool")
    for cwd, program in ((trap, binaries / "tool"), (binaries.parent, "bin/tool"), (trap, "../link")):
        result = subprocess.run(
            ["/bin/sh", program],
            cwd=cwd,
            env={"PATH": path, "CDPATH": str(trap)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (3, ""), program
    result = subprocess.run(["/bin/sh", "tool"], cwd=binaries, capture_output=True, text=True, check=False)
    assert result.returncode == 3


@posix
def test_a_launcher_that_cannot_be_found_runs_nothing(tmp_path: Path) -> None:
    """The text of a launcher on standard input: `$0` is no file, and ./python must not be run."""
    (tmp_path / "python").write_text("#!/bin/sh\necho trapped\n")
    (tmp_path / "python").chmod(0o755)
    result = subprocess.run(
        ["/bin/sh"],
        input=posix_launcher(EntryPoint("tool", "where", "main")),
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        check=False,
    )
    assert result.returncode not in (0, 3)
    assert b"trapped" not in result.stdout


SCRIPTS = {
    "plain": "import sys\nsys.exit(3)\n",
    "no docstring": "import sys\nassert __doc__ is None\nsys.exit(3)\n",
    "docstring": '"""Usage: tool."""\nimport sys\nassert __doc__ == "Usage: tool."\nsys.exit(3)\n',
    "raw docstring": "# licence\n\nr'a\\b'\nimport sys\nassert __doc__ == 'a' + chr(92) + 'b'\nsys.exit(3)\n",
    "docstring in parts": "'Usage: '\\\n\"tool.\"\nimport sys\nassert __doc__ == 'Usage: tool.'\nsys.exit(3)\n",
    "words of a shell": '"""$(exit 5) `exit 6`\n"; exit 7\n"""\nimport sys\nassert len(__doc__) == 29\nsys.exit(3)\n',
    "formatted string": "f'{1}'\nimport sys\nassert __doc__ is None\nsys.exit(3)\n",
    "future": '"""Doc."""\nfrom __future__ import annotations\nimport sys\nassert __doc__ == "Doc."\nsys.exit(3)\n',
    "cookie": "# -*- coding: latin-1 -*-\n'\u00e9'\nimport sys\nassert __doc__ == chr(233)\nsys.exit(3)\n",
    "comments": "# one\n# two\nfrom __future__ import annotations\nimport sys\nsys.exit(3)\n",
    "line ends of Windows": '"""Doc."""\r\nimport sys\r\nassert __doc__ == "Doc."\r\nsys.exit(3)\r\n',
    "three quotes": '"""Doc."""\nimport sys\nassert __doc__ == \'Doc.\'\nsys.exit(3)\n',
}


def rewritten(script: bytes) -> bytes:
    """Return the script as it is installed."""
    made = posix_script(script)
    assert made is not None
    begin, replaced = made
    return begin + script[replaced:]


@posix
@pytest.mark.parametrize("shell", ["", "sh", "dash", "bash", "busybox", "zsh", "ksh", "mksh", "yash"])
@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_keeps_its_meaning(kind: str, shell: str, tmp_path: Path) -> None:
    """Also its docstring, which many scripts show as their help."""
    if shell and which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    encoding = "latin-1" if kind == "cookie" else "utf-8"
    made = rewritten(b"#!python -u\n" + SCRIPTS[kind].encode(encoding))
    binaries = make_prefix(tmp_path / "a prefix", {"tool": made})
    (binaries / "link").symlink_to("tool")
    for name in ("tool", "link"):
        command = [shell, "sh"] if shell == "busybox" else [shell] if shell else []
        result = subprocess.run([*command, binaries / name], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout, result.stderr) == (3, "", "")


@posix
@pytest.mark.parametrize("options", ["errexit", "errexit:nounset:pipefail"])
def test_a_script_ignores_the_options_of_a_caller_of_shells(options: str, tmp_path: Path) -> None:
    if which("bash") is None:
        pytest.skip("only bash reads options from its environment")
    binaries = make_prefix(tmp_path / "a prefix", {"tool": rewritten(b"#!python\n" + SCRIPTS["docstring"].encode())})
    command, env = ["bash", "--posix", binaries / "tool"], {"SHELLOPTS": options, "PATH": os.environ["PATH"]}
    assert subprocess.run(command, env=env, check=False).returncode == 3


@pytest.mark.parametrize("script", [b"#!python\nimport sys\nsys.exit(3)\n", b"#!python\n# coding: latin-1\nx = 1\n"])
def test_a_script_that_cannot_see_a_docstring_is_installed_as_before(script: bytes) -> None:
    """Locks record the contents of objects."""
    assert b"'''exec' \"$(\nfile=$0\n" in rewritten(script)


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"#!/usr/bin/env python\n", b"\x7fELF#!python", b"# #!python\n"]
)
def test_other_scripts_are_left_alone(content: bytes) -> None:
    assert posix_script(content) is None


@pytest.mark.parametrize(
    "content", [b"#!python", b"#!pythonw\nx = 1\n", b"#!python3\nprint 'two'\n", b"#!python\r\nx = (\n"]
)
def test_scripts_that_cannot_be_parsed_still_get_their_interpreter(content: bytes) -> None:
    made = rewritten(content)
    assert made.startswith(b"#!/bin/sh\n'''exec' ")
    assert made.endswith(content.partition(b"\n")[2])


@pytest.mark.parametrize("machine", ["x64", "arm64", "x86"])
@pytest.mark.parametrize("kind", ["console", "gui"])
def test_a_windows_launcher_is_a_program_for_its_machine(kind: str, machine: Machine) -> None:
    entry_point = EntryPoint("tool", "where", "App.main", "gui" if kind == "gui" else "console")
    data = windows_launcher(entry_point, machine)
    assert data == windows_launcher(entry_point, machine)
    header = int.from_bytes(data[0x3C:0x40], "little")
    assert data[:2] == b"MZ" and data[header : header + 4] == b"PE\0\0"
    assert (
        int.from_bytes(data[header + 4 : header + 6], "little")
        == {"x64": 0x8664, "arm64": 0xAA64, "x86": 0x14C}[machine]
    )
    subsystem = int.from_bytes(data[header + 24 + 68 : header + 24 + 70], "little")
    assert subsystem == {"console": 3, "gui": 2}[kind]
    assert "<launcher_dir>\\".encode("utf-16-le") in data, "the launcher program does not support relative interpreters"
    line = data[: data.rindex(b"PK\x03\x04")].rpartition(b"#!")[2]
    python = b"pythonw.exe" if kind == "gui" else b"python.exe"
    assert line == b"<launcher_dir>\\" + python + b"\n"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        code = archive.read("__main__.py").decode()
    compile(code, "__main__.py", "exec")
    assert "from where import App\n" in code and "sys.exit(App.main())" in code
