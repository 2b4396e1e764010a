"""The environment of a step with conda packages: the folders, variables and scripts of `conda activate`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envc.errors import EnvcError
from envc.shipping.deliver.run import Launch, environment_variables, run
from envc.shipping.prefix import activate

posix = pytest.mark.skipif(os.name != "posix", reason="scripts are sourced by a POSIX shell")


def put(path: Path, text: str, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if executable:
        path.chmod(0o755)


def launch(prefix: Path, *command: str, **env: str) -> Launch:
    return Launch(command=command, prefix=prefix, cwd=prefix, env=env, interpreter="conda")


def test_folders_are_those_of_conda(tmp_path: Path) -> None:
    assert activate.folders(tmp_path, windows=False) == [str(tmp_path / "bin")]
    relative = [Path(folder).relative_to(tmp_path).as_posix() for folder in activate.folders(tmp_path, windows=True)]
    assert relative == [".", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin"]


def test_variables_name_the_environment(tmp_path: Path) -> None:
    put(tmp_path / "etc/conda/env_vars.d/b.json", '{"TOOL_HOME": "/b", "TOOL": "b"}')
    put(tmp_path / "etc/conda/env_vars.d/a.json", '{"TOOL_HOME": "/a"}')
    outer = {"PATH": "/usr/bin", "VIRTUAL_ENV": "/other", "CONDA_PREFIX": "/other", "PYTHONPATH": "/other"}
    variables = environment_variables(launch(tmp_path, "true", TOOL="mine"), outer)
    assert variables["CONDA_PREFIX"] == variables["CONDA_DEFAULT_ENV"] == str(tmp_path)
    assert (variables["TOOL_HOME"], variables["TOOL"]) == ("/b", "mine")
    assert variables["PATH"].endswith(f"{os.pathsep}/usr/bin")
    assert variables["PATH"].startswith(activate.folders(tmp_path)[0])
    assert variables["PYTHONNOUSERSITE"] == "1"
    assert "VIRTUAL_ENV" not in variables and "PYTHONPATH" not in variables


@pytest.mark.parametrize(
    "text", ["[]", '{"A": null}', '{"A": [1]}', "{", '{"A=B": "x"}', '{"": "x"}', '{"A": "\\u0000"}']
)
def test_an_invalid_file_of_variables_is_named(text: str, tmp_path: Path) -> None:
    put(tmp_path / "etc/conda/env_vars.d/a.json", text)
    with pytest.raises(EnvcError, match=r"a\.json"):
        activate.variables(tmp_path)


def test_numbers_in_a_file_of_variables_are_text_as_in_conda(tmp_path: Path) -> None:
    put(tmp_path / "etc/conda/env_vars.d/a.json", '{"A": 1, "B": 2.5, "C": true, "D": "0010", "E": -3}')
    found = activate.variables(tmp_path)
    assert [found[name] for name in "ABCDE"] == ["1", "2.5", "True", "0010", "-3"]


@posix
@pytest.mark.parametrize("with_bash", [True, False])
@pytest.mark.parametrize(
    "leaving", ["cd /", "cd ..", "cd /; PWD=$HOME", "cd /; unset PWD", "cd() { return 1; }; command cd /"]
)
def test_a_script_that_leaves_the_folder_does_not_move_the_step(leaving: str, with_bash: bool, tmp_path: Path) -> None:
    """Neither the next script nor the step."""
    folder = tmp_path / "etc/conda/activate.d"
    put(folder / "a.sh", f"{leaving}\n")
    put(folder / "b.sh", "export SEEN=$(/bin/pwd)\n")
    work = tmp_path / "a folder"
    work.mkdir()
    path = os.environ["PATH"] if with_bash else "/nonexistent"
    variables = environment_variables(launch(tmp_path, "tool"), os.environ | {"PATH": path, "CDPATH": "/usr:/tmp"})
    found = activate.through_scripts(tmp_path, ("/bin/sh", "-c", 'echo "$SEEN|$(/bin/pwd)"'), {}, variables)
    assert found is not None
    done = subprocess.run(found[0], env=found[1], cwd=work, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{work}|{work}\n", "")


@posix
@pytest.mark.parametrize("with_bash", [True, False])
def test_scripts_are_sourced_in_order_before_the_command(with_bash: bool, tmp_path: Path) -> None:
    folder = tmp_path / "etc/conda/activate.d"
    put(folder / "b.sh", 'export ORDER="$ORDER b"; export WHERE="$CONDA_PREFIX/share"; set -- lost; false\n')
    put(folder / "a.sh", 'export ORDER=a; export MINE=theirs; export PATH="$CONDA_PREFIX/more:$PATH"; echo loud\n')
    put(folder / "ignored.bat", "exit 1\n")
    put(tmp_path / "more/tool", '#!/bin/sh\necho "$ORDER|$WHERE|$MINE|$*"\nexit 7\n', executable=True)
    path = os.environ["PATH"] if with_bash else "/nonexistent"
    variables = environment_variables(launch(tmp_path, "tool", MINE="mine"), os.environ | {"PATH": path})
    found = activate.through_scripts(tmp_path, ("tool", "one two", "--", "$HOME"), {"MINE": "mine"}, variables)
    assert found is not None
    wrapped, seen = found
    if not with_bash:
        assert wrapped[0] == "/bin/sh"
    done = subprocess.run(wrapped, env=seen, capture_output=True, text=True, check=False)
    assert done.stdout == f"a b|{tmp_path}/share|mine|one two -- $HOME\n"
    assert (done.stderr, done.returncode) == ("loud\n", 7)


@posix
def test_a_step_runs_through_its_scripts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "etc/conda/activate.d/tool.sh", "export TOOL=active\n")
    code = "import os, sys; print(os.environ['TOOL']); sys.exit(5)"
    assert run(launch(tmp_path, sys.executable, "-c", code), dict(os.environ), replace=False) == 5
    assert capfd.readouterr().out == "active\n"


@posix
def test_without_scripts_no_shell_is_started(tmp_path: Path) -> None:
    assert activate.through_scripts(tmp_path, ("tool",), {}, os.environ) is None
    put(tmp_path / "etc/conda/activate.d/tool.fish", "")
    assert activate.through_scripts(tmp_path, ("tool",), {}, os.environ) is None


@posix
def test_a_program_with_an_equals_sign_is_not_taken_for_a_variable(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "etc/conda/activate.d/tool.sh", "")
    put(tmp_path / "bin/a=b", "#!/bin/sh\necho started $MINE\n", executable=True)
    assert run(launch(tmp_path, "a=b", MINE="mine"), dict(os.environ), replace=False) == 0
    assert capfd.readouterr().out == "started mine\n"
