"""Whether a record, well-formed as it is, can be about the environment that it claims."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter

from envc.model.digest import Sha256, parse_sha256
from envc.model.environment import environment_id
from envc.model.record import RECORD_FORMAT, Record, RecordObject
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.paths import check_layout, check_path
from envc_solvers.target import PLATFORMS, parse_python_key

_INTERPRETERS = ("conda", "host", "standalone")


def check_record(record: Record, what: str) -> None:
    """Raise CorruptBlob unless the record's parts agree.

    Checked: format, names, order, every object's content digest against its members, its size against its frames, the
    winners against the objects (`winners`, so that no record can choose which files are left out), and the environment
    id against artifacts, layouts, platform and Python.
    """
    if record.format != RECORD_FORMAT:
        raise CorruptBlob(what, f"is record format {record.format}; this envc reads {RECORD_FORMAT}", "upgrade envc")
    try:
        _check_objects(record)
        _check_paths(record)
        if _environment_id(record) != record.environment:
            raise ValueError("its objects are not those of the environment that it names")
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None


def _check_objects(record: Record) -> None:
    order = [(part.kind, part.name) for part in record.objects]
    if order != sorted(set(order)):
        raise ValueError("its objects are out of order, or one is named twice")
    for part in record.objects:
        parse_sha256(part.index.artifact)
        check_layout(part.index.layout)
        if part.content != part.index.content:
            raise ValueError(f"the members of {part.name} do not match their content digest")
        if part.size <= sum(frame.length for frame in part.index.frames):
            raise ValueError(f"the frames of {part.name} are larger than its object")


def _check_paths(record: Record) -> None:
    if record.winners != winners(record.objects):
        raise ValueError("it lets other files win than its objects and their order say")
    for path in record.made:
        check_path(path)
    if list(record.made) != sorted(set(record.made)):
        raise ValueError("the paths that are made at hydrate are out of order")


def winners(objects: Sequence[RecordObject]) -> dict[str, Sha256]:
    """The artifact that writes each contested path, sorted: the last in the record's order that holds it, as if all
    were installed one after the other.
    """
    trees = [part.index.members for part in objects]
    if len(set(map(attrgetter("path"), chain.from_iterable(trees)))) == sum(map(len, trees)):
        return {}  # as for most; finding it out this way takes a third of the time
    holders: dict[str, Sha256] = {}
    contested: dict[str, Sha256] = {}
    for part in objects:
        artifact = part.index.artifact
        for member in part.index.members:
            if holders.setdefault(member.path, artifact) != artifact:
                contested[member.path] = artifact
    return dict(sorted(contested.items()))


def _environment_id(record: Record) -> str:
    try:
        python = parse_python_key(record.python)
    except ValueError:
        python = None
    if python is None or record.platform not in PLATFORMS or record.interpreter not in _INTERPRETERS:
        raise ValueError("its platform, Python or interpreter is unknown")
    return environment_id(
        platform=record.platform,
        python=python,
        interpreter=record.interpreter,
        members=((part.index.artifact, part.index.layout) for part in record.objects),
    )
