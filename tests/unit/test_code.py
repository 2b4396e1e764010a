"""Which files are a step's code. If git is installed, it decides which files are expected to be ignored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envc.locking.worktree.code import CodeError, code_entries
from tests.support.stores import encode


def plant(root: Path, *paths: str, **contents: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {path}\n")
    for name, content in contents.items():
        (root / name.replace("__", "/").replace("DOT", ".")).write_text(content)


def paths(root: Path, globs: tuple[str, ...] | None = None) -> list[str]:
    return [entry.path for entry in code_entries(root, globs)]


def test_the_default_is_every_python_file_that_is_not_ignored(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "main.py",
        "lib/deep/tool.py",
        "lib/data.csv",
        "build/generated.py",
        "lib/secret.py",
        ".hidden/x.py",
        "__pycache__/main.py",
        "venv/pyvenv.cfg",
        "venv/lib/site.py",
        DOTgitignore="build/\nsecret.py\n",
    )
    assert paths(tmp_path) == ["lib/deep/tool.py", "main.py"]


IGNORE = """\
# comment
*.gen.py
/top.py
build/
!build/keep.py
docs/**/draft.py
dir/*
!dir/kept.py
tr?cky[0-9].py
\\#literal.py
space\\ .py
*e*x*o*.py
far/**/w*t/**/f*l.py
[z-a].py
odd\\
"""

CANDIDATES = [
    "a.gen.py",
    "sub/a.gen.py",
    "top.py",
    "sub/top.py",
    "build/keep.py",
    "build/other.py",
    "sub/build/x.py",
    "docs/draft.py",
    "docs/a/b/draft.py",
    "dir/kept.py",
    "dir/lost.py",
    "dir/sub/deep.py",
    "tricky1.py",
    "trucky.py",
    "#literal.py",
    "sub/deep/again.gen.py",
    "sub/deep/allowed.gen.py",
    "sub/plain.py",
    "sub/eexxoo.py",
    "exon/kept.py",
    "far/a/west/b/fossil.py",
    "far/west/foil.py",
    "far/west/foiled.py",
    "a.py",
    "odd/a.py",
]


@pytest.mark.skipif(shutil.which("git") is None, reason="the test compares with git")
@pytest.mark.parametrize("below", ["", "project"])
def test_ignored_files_are_those_that_git_ignores(below: str, tmp_path: Path) -> None:
    root = tmp_path / below if below else tmp_path
    plant(root, *CANDIDATES)
    (tmp_path / ".gitignore").write_text(IGNORE)
    (root / "sub/.gitignore").write_text("!deep/allowed.gen.py\nplain.py\n")
    git = ["git", "-C", str(tmp_path), "-c", "core.excludesFile="]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / ".git/info/exclude").write_text("trucky.py\n")
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--others", "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    prefix = f"{below}/" if below else ""
    expected = sorted(path.removeprefix(prefix) for path in listed if path.endswith(".py"))
    assert paths(root) == expected
    assert 0 < len(expected) < len(CANDIDATES)


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 40 + "b", "?*" * 40 + "b", "[a-b]*" * 40 + "c", "**/a/" * 40 + "b", "/**/*a*a*" * 20 + "/b"],
)
def test_patterns_with_many_wildcards_take_no_time(pattern: str, tmp_path: Path) -> None:
    plant(tmp_path, "a" * 200 + ".py", "a/" * 100 + "a.py", DOTgitignore=f"{pattern}\n*{pattern}.py\n")
    # The `re` module cannot be interrupted, so that a test in this process would never end.
    code = "import sys; from pathlib import Path; from envc.locking.worktree.code import code_entries\n"
    code += "print(len(code_entries(Path(sys.argv[1]), None)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "2\n"


def test_a_project_in_an_ignored_folder_still_has_code(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    plant(tmp_path, "scratch/project/main.py", DOTgitignore="scratch/\n")
    assert paths(tmp_path / "scratch/project") == ["main.py"]


def test_globs_override_ignore_rules(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "main.py",
        "lib/a.py",
        "lib/deep/b.py",
        "lib/deep/c.txt",
        "lib/__pycache__/a.pyc",
        DOTgitignore="lib/\n",
    )
    assert paths(tmp_path, ("main.py",)) == ["main.py"]
    assert paths(tmp_path, ("lib/**/*.py", "lib/a.py")) == ["lib/a.py", "lib/deep/b.py"]
    assert paths(tmp_path, ("lib",)) == ["lib/a.py", "lib/deep/b.py", "lib/deep/c.txt"]
    assert paths(tmp_path, ()) == []


@pytest.mark.parametrize("pattern", ["**/a/**/*.py", "a/**/**/x.py", "**/a/**/a/**", "*/**/b/**/*"])
def test_globs_with_several_recursions_match_as_those_of_pathlib(pattern: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    plant(root, "x.py", "a/x.py", "a/b/x.py", "a/b/a/y.txt", "b/a/a/x.py", "b/b/z.py")
    (root / "b/link").symlink_to("../a")
    matches = [match.resolve() for match in root.glob(pattern)]
    expected = {
        file.relative_to(root.resolve()).as_posix()
        for match in matches
        for file in ([match] if match.is_file() else match.rglob("*"))
        if file.is_file() and "link" not in file.parts
    }
    assert {path for path in paths(root, (pattern,)) if "link" not in path} == expected


def test_globs_with_many_recursions_take_no_time(tmp_path: Path) -> None:
    plant(tmp_path, "a/" * 30 + "x.py")
    code = "import sys; from pathlib import Path; from envc.locking.worktree.code import code_entries\n"
    code += "print(len(code_entries(Path(sys.argv[1]), ('**/a/' * 15 + 'x.py',))))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "1\n"
    for pattern in ("**/../**/x.py", f"{tmp_path.as_posix()}/**/**/x.py"):
        with pytest.raises(CodeError, match="is not a pattern"):
            paths(tmp_path, (pattern,))


def test_a_glob_without_a_file_is_a_mistake(tmp_path: Path) -> None:
    plant(tmp_path, "main.py")
    with pytest.raises(CodeError, match=r"'src/\*\.py' matches no file"):
        paths(tmp_path, ("main.py", "src/*.py"))


@pytest.mark.parametrize("globs", [None, ("*.py",)])
def test_a_link_out_of_the_project_is_refused(globs: tuple[str, ...] | None, tmp_path: Path) -> None:
    plant(tmp_path, "secret.py", "project/main.py")
    (tmp_path / "project/link.py").symlink_to("../secret.py")
    with pytest.raises(CodeError, match=r"link\.py is outside the folder of the manifest"):
        paths(tmp_path / "project", globs)


def test_a_link_within_the_project_becomes_its_target(tmp_path: Path) -> None:
    plant(tmp_path, "main.py")
    (tmp_path / "link.py").symlink_to("main.py")
    _, index = encode(code_entries(tmp_path, None), layout="code", artifact=None)
    assert [(member.path, member.type) for member in index.members] == [("link.py", "file"), ("main.py", "file")]
    assert index.members[0].sha256 == index.members[1].sha256


@pytest.mark.parametrize("name", ["back\\slash.py", "new\nline.py"])
def test_unportable_names_are_refused(name: str, tmp_path: Path) -> None:
    plant(tmp_path, name)
    with pytest.raises(CodeError, match="contains a backslash or a control character"):
        paths(tmp_path)


def test_a_broken_link_and_a_folder_are_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    with pytest.raises(CodeError, match=r"gone\.py cannot be read"):
        paths(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_reported_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(CodeError, match=r"pipe\.py is not a regular file"):
        paths(tmp_path)


def test_the_object_depends_on_content_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    plant(first, "b.py", "a.py")
    plant(second, "a.py", "b.py")
    (second / "a.py").touch()
    (first / "tool.py").write_text("")
    (second / "tool.py").write_text("")
    (first / "tool.py").chmod(0o755)
    (second / "tool.py").chmod(0o700)
    assert encode(code_entries(first, None), layout="code", artifact=None) == encode(
        code_entries(second, None), layout="code", artifact=None
    )
