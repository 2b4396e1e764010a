"""Whether a well-formed record is consistent, and describes the environment that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter

from envc.model.digest import Sha256, parse_sha256
from envc.model.environment import environment_id
from envc.model.kinds import interpreter_kind
from envc.model.record import RECORD_FORMAT, Record, RecordObject
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.paths import check_case, check_layout, check_names, check_path, fold, ignores_case
from envc_solvers.target import PLATFORMS, parse_python_key

_FLOOR = r"[0-9]{1,9}(?:\.[0-9]{1,9})*"
_LEVEL = r"[a-z0-9_]+"


def check_record(record: Record, what: str) -> None:
    """Raise CorruptBlob unless the record is consistent.

    Checked are the format, names and order; the content digest of every object against its members, and its size
    against its frames; the winners against the objects (see `winners`; no record can choose which files are left out);
    and the environment id against artifacts, layouts, platform and Python.
    """
    if record.format != RECORD_FORMAT:
        raise CorruptBlob(what, f"is record format {record.format}; this envc reads {RECORD_FORMAT}", "upgrade envc")
    try:
        _check_objects(record)
        _check_paths(record)
        _check_names(record)
        check_requirements(record.requirements)
        if _environment_id(record) != record.environment:
            raise ValueError("its objects are not those of the environment that it names")
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None


def _check_objects(record: Record) -> None:
    order = [(part.kind, part.name) for part in record.objects]
    if order != sorted(set(order)):
        raise ValueError("its objects are out of order, or one occurs twice")
    for part in record.objects:
        parse_sha256(part.index.artifact)
        check_layout(part.index.layout)
        if part.content != part.index.content:
            raise ValueError(f"the members of {part.name} do not match their content digest")
        if part.size <= sum(frame.length for frame in part.index.frames):
            raise ValueError(f"the frames of {part.name} are larger than its object")


def _check_paths(record: Record) -> None:
    if record.winners != winners(record.objects, record.platform):
        raise ValueError("its winners are not those that follow from its objects and their order")
    for path in record.made:
        check_path(path)
    if list(record.made) != sorted(set(record.made)):
        raise ValueError("its paths that hydrate makes are out of order")


def _check_names(record: Record) -> None:
    platform = PLATFORMS.get(record.platform)
    if platform is not None:  # otherwise its id is wrong, too
        for part in record.objects:
            check_names(part.index.members, platform.family)
            check_case(part.index.members, part.index.layout, platform.family)


def check_requirements(requirements: Mapping[str, str]) -> None:
    """Raise ValueError unless the requirements on a machine are versions, or the name of a CPU level."""
    for name, value in requirements.items():
        if not re.fullmatch(_LEVEL if name == "archspec" else _FLOOR, value):
            raise ValueError(f"it requires {name[:40]!r} {value[:40]!r}, which is not a version")


def winners(objects: Sequence[RecordObject], platform: str) -> dict[str, Sha256]:
    """For each contested path, the artifact whose member is written, sorted by path. A contested path is one that
    several objects contain. The last of them in the order of the record wins, as if all were installed one by one.

    Where file systems ignore case, so does this, and all spellings of a path are contested.
    """
    facts = PLATFORMS.get(platform)
    if facts is not None and ignores_case(facts.family):
        return _winners_ignoring_case(objects)
    trees = [part.index.members for part in objects]
    if len(set(map(attrgetter("path"), chain.from_iterable(trees)))) == sum(map(len, trees)):
        return {}  # true for most environments; this check takes a third of the time
    holders: dict[str, Sha256] = {}
    contested: dict[str, Sha256] = {}
    for part in objects:
        artifact = part.index.artifact
        for member in part.index.members:
            if holders.setdefault(member.path, artifact) != artifact:
                contested[member.path] = artifact
    return dict(sorted(contested.items()))


def _winners_ignoring_case(objects: Sequence[RecordObject]) -> dict[str, Sha256]:
    paths = "\n".join(member.path for part in objects for member in part.index.members)
    folded = paths.lower() if paths.isascii() else "\n".join(map(fold, paths.split("\n")))
    if len(set(folded.split("\n"))) == paths.count("\n") + 1:
        return {}  # as above
    holders: dict[str, Sha256] = {}
    contested: dict[str, Sha256] = {}  # by folded path
    for part in objects:
        artifact = part.index.artifact
        for member in part.index.members:
            key = fold(member.path)
            if holders.setdefault(key, artifact) != artifact:
                contested[key] = artifact
    if not contested:
        return {}
    spelt = {member.path for part in objects for member in part.index.members}
    return {path: contested[key] for path in sorted(spelt) if (key := fold(path)) in contested}


def _environment_id(record: Record) -> str:
    try:
        platform, python = PLATFORMS[record.platform], parse_python_key(record.python)
        interpreter = interpreter_kind(record.interpreter)
    except (KeyError, ValueError):
        raise ValueError("its platform, Python or interpreter is unknown") from None
    return environment_id(
        platform=platform.name,
        python=python,
        interpreter=interpreter,
        members=((part.index.artifact, part.index.layout) for part in record.objects),
    )
