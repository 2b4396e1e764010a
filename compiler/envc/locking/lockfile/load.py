"""load: parses the text of a lock file into a lock graph. The text is untrusted until all of it has been checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import tomli

from envc.errors import LockFileError
from envc.locking.lockfile.canonical import canonical
from envc.locking.lockfile.conflict import LockConflict, split_conflict
from envc.locking.lockfile.document import ArtifactTable, BuildTable, EnvironmentTable, LockDocument, PackageTable
from envc.model.digest import Sha256
from envc.model.graph import (
    LOCK_VERSION,
    Artifact,
    Build,
    BuildRequirement,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
    PythonFrom,
    SourceFile,
    target_name_of,
)
from envc.model.hidden import HIDDEN
from envc.model.limits import LOCK_BYTES
from envc.model.lock_lines import LockedInput, LockedPassedOver
from envc_solvers.malformed import malformed, reason_of

# Ids, names, versions, builds and layouts become parts of paths. None of them can contain an address.
_ID = re.compile(r"[a-z]+:[A-Za-z0-9._-]+(?:@[A-Za-z0-9._+!~=:-]+)?")
_TARGET = re.compile(r"[A-Za-z0-9_.-]+")
# Looser than `parse_python_key` on purpose. Target keys of a lock are compared as texts, so a lock with a Python that
# is unknown to this envc can still be read: it is out of date, not damaged.
_TARGET_KEY = re.compile(r"[A-Za-z0-9_.-]+/(?:-|[a-z]+[0-9]+t?)")
_VERSION = re.compile(r"[A-Za-z0-9._+!~-]+")
_BUILD = re.compile(r"[A-Za-z0-9._+-]*")
_PATCH_RELEASE = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}\.[0-9]{1,3}")
_SOURCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")  # channel/label/dev
_LAYOUT = re.compile(r"[a-z][a-z0-9.-]*")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# It is passed to git, so it must be a digest and nothing else.
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})?")
_TREE = re.compile(r"(?:[0-9a-f]{64})?")
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_UNTITLED = Path("lock file")


def loads(text: str, path: Path | None = None) -> LockGraph:
    """Read a lock. `path` is used only in errors.

    Raises LockConflict for a text with conflict markers, LockFileError for every other mistake: not TOML, a
    newer format, a wrong type, an unknown key, a malformed digest, id or name.
    """
    path = path or _UNTITLED
    if "<<<<<<<" in text and (sides := split_conflict(text)) is not None:
        raise LockConflict(path, *sides)
    _check_visible(text, path)
    try:
        raw: dict[str, Any] = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise LockFileError(path, f"not TOML: {error}", _RESTORE) from None
    except malformed() as error:
        raise LockFileError(path, reason_of(error), _RESTORE) from None
    _check_version(raw.get("version"), path)
    try:
        document = msgspec.convert(raw, LockDocument)
    except msgspec.ValidationError as error:
        raise LockFileError(path, _reword(str(error)), _RESTORE) from None
    return _Reader(path).graph(document)


def load(path: Path) -> LockGraph:
    """Read and parse a lock file. Raises FileNotFoundError if there is none, and the errors of `loads`."""
    return loads(decode(read(path), path), path)


def read(path: Path) -> bytes:
    """The content of a lock file. Raises FileNotFoundError if there is none, and LockFileError."""
    try:
        # A link in a checkout may lead to a device or a pipe, which have no end.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise LockFileError(path, "is not a regular file", _RESTORE)
        with path.open("rb") as file:
            data = file.read(LOCK_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LockFileError(
            path, f"cannot be read: {error.strerror or error}", "check the permissions of the file"
        ) from None
    if len(data) > LOCK_BYTES:
        raise LockFileError(path, f"is larger than {LOCK_BYTES >> 20} MiB", _RESTORE)
    return data


def decode(data: bytes, path: Path) -> str:
    """The text of a lock file with that content. Raises LockFileError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LockFileError(path, f"is not UTF-8 at byte {error.start}", _RESTORE) from None


_RESTORE = "restore it from version control, or delete it and run `envc lock`"


def _check_visible(text: str, path: Path) -> None:
    """Refuse hidden characters: a reviewer would see another text than this one. TOML itself forbids those of ASCII."""
    if text.isascii():
        return
    found = re.search(rf"(?![\x00-\x7f])[{HIDDEN}]", text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise LockFileError(path, f"holds the hidden character U+{ord(found[0]):04X} in line {line}", _RESTORE)


def _check_version(version: object, path: Path) -> None:
    if not isinstance(version, int) or isinstance(version, bool):
        raise LockFileError(path, "`version` is missing or not a number", _RESTORE)
    if version > LOCK_VERSION:
        raise LockFileError(path, f"is lock format {version}; this envc reads {LOCK_VERSION}", "upgrade envc")
    if version < LOCK_VERSION:
        raise LockFileError(path, f"is lock format {version}, which does not exist", _RESTORE)


def _reword(message: str) -> str:
    """msgspec's message with the key path first: ``package[3].artifacts[0].size: expected `int`, got `str```."""
    reason, _, place = message.partition(" - at `$")
    key_path = place.rstrip("`").lstrip(".")
    reason = reason[:1].lower() + reason[1:]
    return f"{key_path}: {reason}" if key_path else reason


class _Reader:
    """Checks what types cannot express. Lines that many environments share are read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._refs: dict[str, PackageRef] = {}
        self._plain_inputs: dict[str, LockedInput] = {}
        self._names: set[tuple[re.Pattern[str], str]] = set()

    def graph(self, document: LockDocument) -> LockGraph:
        return canonical(
            LockGraph(
                version=document.version,
                options=document.options,
                environments=tuple(
                    self._environment(table, f"environment[{index}]")
                    for index, table in enumerate(document.environment)
                ),
                packages=tuple(self._package(table, f"package[{i}]") for i, table in enumerate(document.package)),
                builds=tuple(self._build(table, f"build[{i}]") for i, table in enumerate(document.build)),
            )
        )

    def _environment(self, table: EnvironmentTable, at: str) -> LockedEnvironment:
        self._check(_STEP, table.steps, f"{at}.steps", "not a valid name of a step")
        self._check(_TARGET_KEY, table.targets, f"{at}.targets", 'not a target key such as "linux-64/cp312"')
        return LockedEnvironment(
            steps=table.steps,
            targets=table.targets,
            python=table.python,
            python_from=tuple(self._python_from(line, f"{at}.python-from") for line in table.python_from),
            interpreter=table.interpreter,
            requires=self._inputs(table),
            packages=tuple(
                self._refs.get(line) or self._ref(line, f"{at}.packages[{index}]")
                for index, line in enumerate(table.packages)
            ),
            passed_over=tuple(
                self._passed_over(line, f"{at}.passed-over[{index}]") for index, line in enumerate(table.passed_over)
            ),
        )

    def _passed_over(self, line: str, at: str) -> LockedPassedOver:
        found = LockedPassedOver.read(line)
        if found is None:
            raise LockFileError(self._path, f"{at}: {line[:80]!r} is not a release with a reason", _RESTORE)
        return found

    def _inputs(self, table: EnvironmentTable) -> tuple[LockedInput, ...]:
        known = frozenset(map(target_name_of, table.targets))
        return tuple(
            LockedInput.read(line, known) if " @ " in line else self._plain_inputs.setdefault(line, LockedInput(line))
            for line in table.requires
        )

    def _python_from(self, line: str, at: str) -> PythonFrom:
        version, separator, targets = line.partition(" @ ")
        found = PythonFrom(version, tuple(targets.split(", ")) if separator else ())
        self._check(_PATCH_RELEASE, (version,), at, "not a patch release of Python")
        self._check(_TARGET, found.targets, at, "not a valid name of a target")
        return found

    def _ref(self, line: str, at: str) -> PackageRef:
        package_id, separator, targets = line.partition(" @ ")
        ref = PackageRef(package_id, tuple(targets.split(", ")) if separator else ())
        self._check(_ID, (package_id,), at, "not a package id")
        self._check(_TARGET, ref.targets, at, "not a valid name of a target")
        self._refs[line] = ref
        return ref

    def _package(self, table: PackageTable, at: str) -> Package:
        self._check(_ID, (table.id,), f"{at}.id", "not a package id")
        self._check(_VERSION, (table.version,), f"{at}.version", "not a version")
        self._check(_BUILD, (table.build,), f"{at}.build", "not a build string")
        self._check(_SOURCE, (table.source,), f"{at}.source", "not a valid name of a source")
        self._check(_NAME, table.pypi, f"{at}.pypi", "not a valid name of a project")
        return Package(
            id=table.id,
            version=table.version,
            build=table.build,
            source=table.source,
            released=table.released,
            license=table.license,
            pypi=table.pypi,
            depends=table.depends,
            artifacts=tuple(
                self._artifact(artifact, f"{at}.artifacts[{index}]") for index, artifact in enumerate(table.artifacts)
            ),
        )

    def _artifact(self, table: ArtifactTable, at: str) -> Artifact:
        self._check(_TARGET_KEY, table.targets, f"{at}.for", 'not a target key such as "linux-64/cp312"')
        self._check(_LAYOUT, table.content, f"{at}.content", "not a layout")
        if table.site_packages and not _is_site_folder(table.site_packages):
            raise LockFileError(self._path, f"{at}.site-packages: it is not a folder below a prefix", _RESTORE)
        return Artifact(
            file=table.file,
            size=table.size,
            sha256=Sha256(table.sha256),
            targets=table.targets,
            depends=table.depends,
            noarch=table.noarch,
            site_packages=table.site_packages,
            content={layout: Sha256(digest) for layout, digest in table.content.items()},
            yanked=table.yanked,
        )

    def _build(self, table: BuildTable, at: str) -> Build:
        self._check(_COMMIT, (table.commit,), f"{at}.commit", "not a commit")
        self._check(_TREE, (table.tree,), f"{at}.tree", "not a digest")
        self._check(
            _TARGET_KEY, (table.python,), f"{at}.python", 'not a platform with a Python, such as "linux-64/cp312"'
        )
        if bool(table.commit) + bool(table.tree) + (table.sdist is not None) != 1:
            raise LockFileError(self._path, f"{at}: needs one of `commit`, `tree` and `sdist`", _RESTORE)
        for index, one in enumerate(table.packages):
            self._check(_NAME, (one.name,), f"{at}.packages[{index}].name", "not a valid name of a project")
            self._check(_VERSION, (one.version,), f"{at}.packages[{index}].version", "not a version")
            self._check(_SOURCE, (one.source,), f"{at}.packages[{index}].source", "not a valid name of a source")
        sdist = table.sdist
        return Build(
            wheel=table.wheel,
            sha256=Sha256(table.sha256),
            commit=table.commit,
            tree=table.tree,
            sdist=None if sdist is None else SourceFile(file=sdist.file, size=sdist.size, sha256=Sha256(sdist.sha256)),
            python=table.python,
            requires=table.requires,
            added=table.added,
            constraints=table.constraints,
            packages=tuple(
                BuildRequirement(
                    name=one.name,
                    version=one.version,
                    source=one.source,
                    file=one.file,
                    size=one.size,
                    sha256=Sha256(one.sha256),
                    yanked=one.yanked,
                )
                for one in table.packages
            ),
        )

    def _check(self, form: re.Pattern[str], values: Iterable[str], at: str, what: str) -> None:
        for value in values:
            if (form, value) in self._names:
                continue
            if not form.fullmatch(value):
                raise LockFileError(self._path, f"{at}: {value[:80]!r} is {what}", _RESTORE)
            self._names.add((form, value))


def _is_site_folder(text: str) -> bool:
    from envc_solvers.conda.language.record import is_site_folder  # late: few locks have such a folder

    return is_site_folder(text)
