"""Requirements as users give them to ``envc add``: words, paths of local projects, and the lines of a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from envc.errors import UsageError
from envc.model.limits import MANIFEST_BYTES

# An entry of the manifest: a requirement, or a table with the keys of one.
Entry = str | dict[str, str]

_MOST_FILES = 100  # that files may include


def entry_of(text: str, base: Path, root: Path) -> Entry:
    """An entry for a word of the command line or a line of a file. A path is relative to `base`, and in the result to
    `root`, the folder of the manifest. Raises UsageError for a path where nothing is.
    """
    if not is_path(text):
        return text
    path = Path(os.path.normpath(base / Path(text).expanduser()))
    if not path.exists():
        raise UsageError(
            f"{text}: there is no such file or folder", "write ./ before a path, and nothing before a name"
        )
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    name = _project_name(path)
    return {"name": name, "path": relative} if name else {"path": relative}


def is_path(text: str) -> bool:
    """Whether a word is a path and not a requirement: it starts like one."""
    return text in (".", "..") or text.startswith(("./", "../", "/", "~/", ".\\", "..\\"))


def read_list(file: Path, root: Path) -> list[Entry]:
    """The requirements of a file as pip reads it: one on each line, comments, ``-r``, and ``-e`` for local projects.

    Hashes are left out, since a lock records digests of its own. Raises UsageError for a file that cannot be read, and
    for options that the manifest states in another way.
    """
    entries: list[Entry] = []
    files, seen = [file], set[Path]()
    while files:
        one = files.pop(0)
        if one.resolve() in seen:
            continue
        seen.add(one.resolve())
        if len(seen) > _MOST_FILES:
            raise UsageError(f"{file} includes more than {_MOST_FILES} files")
        for number, line in _lines(one):
            option, _, value = (part.strip() for part in re.sub(r"\s--hash[=\s].*", "", line).partition(" "))
            if "=" in option and option.startswith("--"):
                option, _, value = option.partition("=")
            if option in ("-r", "--requirement"):
                files.append(one.parent / value)
            elif option in ("-e", "--editable"):
                entries.append(entry_of(value if is_path(value) or "://" in value else f"./{value}", one.parent, root))
            elif option.startswith("-"):
                hint = "declare sources, constraints and policies in the manifest, and remove this line from the file"
                raise UsageError(f"{one}:{number}: {option} is an option of pip, not a requirement", hint)
            else:
                entries.append(entry_of(f"{option} {value}".strip(), one.parent, root))
    return entries


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers, without comments and with continued lines joined."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MANIFEST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}", "check the path after -r") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8", "save it as UTF-8") from None
    if len(data) > MANIFEST_BYTES:
        raise UsageError(f"{file} is larger than {MANIFEST_BYTES >> 20} MiB")
    found, begun = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        begun += re.sub(r"(^|\s)#.*", "", line)
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        if begun.strip():
            found.append((number, begun.strip()))
        begun = ""
    return [*found, (0, begun.strip())] if begun.strip() else found


def _project_name(path: Path) -> str | None:
    """The name that the pyproject.toml of a local project states, or None."""
    import tomli

    try:
        document = tomli.loads((path / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    project = document.get("project")
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else None
