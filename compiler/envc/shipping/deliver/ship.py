"""ship: writes the environment of one step from a store into a single file, which needs neither the store nor envc.

The file consists of the objects of the record, as the store contains them, followed by the environment's own files:
record, card, code, and the files that make the tree run after `tar` has unpacked it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from envc.errors import Unwritable, UsageError
from envc.model.digest import Sha256
from envc.model.record import CARD_PATH, CODE_FOLDER, RECORD_PATH, Record, RecordObject, StepCard, StepPointer
from envc.shipping.format.bundle import Source, Write, write_bundle
from envc.shipping.format.decode import read_object
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import LEVEL, Entry, write_object
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT
from envc.shipping.machine.interpreter import HOST
from envc.shipping.prefix.relocate import SCRIPT, STAND_IN, relocate_script, stand_in
from envc.shipping.prefix.tree import CorruptObject
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import bytes_reader, get_code, range_reader
from envc.system.atomic_file import atomic_file
from envc.system.drafts import remove_leftovers
from envc_solvers.target import PLATFORMS, Python, Target


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was written."""

    path: Path
    size: int  # bytes
    sha256: Sha256  # of the whole file


class ShipRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One step on one target, as it was bundled."""

    project: str
    step: str
    target: Target
    python: Python
    lock: Sha256  # digest of the lock file
    record: Record
    pointer: StepPointer  # to that record


def ship(request: ShipRequest, store: Blobs, out: Path, *, level: int = LEVEL) -> Shipped:
    """Write the bundle of one step on one target. An existing file is replaced atomically.

    Equal objects, code and card give equal bytes. Raises CorruptObject for an object that does not match the record,
    CorruptBlob and DigestMismatch for code that does not match the pointer, and Unwritable if the file cannot be
    written.
    """
    record, pointer = request.record, request.pointer
    code = tuple(_code(store, pointer))
    card = StepCard(
        project=request.project,
        step=request.step,
        target=request.target.name,
        python=request.python.text,
        python_from=request.python.full_version if request.python.release else msgspec.UNSET,
        lock=request.lock,
        record=pointer.record,
        code=pointer.code if code else None,
        run=pointer.run,
        env=pointer.env,
        shell=pointer.shell,
        floors=request.target.declared or msgspec.UNSET,
    )
    own_bytes = io.BytesIO()
    entries = (*own_entries(record, card, request.python), *code)
    index, size = write_object(entries, own_bytes, layout=ENVIRONMENT_LAYOUT, level=level)
    own = Source(
        index=index, size=size, read_range=bytes_reader(own_bytes.getvalue()), what="the environment's own files"
    )
    return _replace(out, lambda write: _write(store, record, own, write))


def own_entries(record: Record, card: StepCard, python: Python) -> Iterator[Entry]:
    """The files of an environment that come from no artifact, except its code."""
    yield Entry(path=RECORD_PATH, content=canonical_json(record))
    yield Entry(path=CARD_PATH, content=canonical_json(card))
    platform = PLATFORMS[record.platform]
    made: dict[str, bytes | None] = {}
    if record.interpreter == HOST:
        made = {SCRIPT: relocate_script(platform, python, record.requirements), STAND_IN: stand_in(platform)}
    elif any(item.kind == "conda" for item in record.objects):
        from envc.shipping.prefix.relocate_conda import relocate_conda_script

        made = {SCRIPT: relocate_conda_script(platform, record.requirements)}
    for path, content in made.items():
        if content is not None:
            yield Entry(path=path, content=content, executable=True)


def _code(store: Blobs, pointer: StepPointer) -> Iterator[Entry]:
    """The code of the step in the store: the code that the pointer names, not the current working tree."""
    found = get_code(store, pointer)
    if found is None:
        return
    index, data = found
    contents: dict[str, bytearray] = {}
    for piece in read_object(index, bytes_reader(data)):
        contents.setdefault(piece.member.path, bytearray()).extend(piece.data)
    for member in index.members:
        if member.type != "file":
            raise CorruptBlob(f"the code of a step in {store.name}", f"contains the link {member.path!r}")
        yield Entry(
            path=f"{CODE_FOLDER}/{member.path}",
            content=bytes(contents[member.path]),
            executable=member.mode == 0o755,
            mtime=member.mtime,
        )


def _write(store: Blobs, record: Record, own: Source, write: Write) -> None:
    """Write the bytes of the bundle. Raises CorruptObject, which names the object to be derived again."""
    writing: RecordObject | None = None

    def sources() -> Iterator[Source]:
        nonlocal writing
        for item in record.objects:
            writing = item
            key = object_key(item.index.layout, item.index.artifact)
            what = f"the object of {item.name} {item.version} in {store.name}"
            yield Source(index=item.index, size=item.size, read_range=range_reader(store, key), what=what)
        writing = None

    try:
        write_bundle(sources(), own, write)
    except (CorruptBlob, MissingBlob) as error:
        if writing is None:
            raise
        raise CorruptObject(error.what, error.reason, writing.index.layout, writing.index.artifact) from None


def _replace(out: Path, write_to: Callable[[Write], None]) -> Shipped:
    """Replace a file atomically by the bytes that `write_to` writes. Leftovers of killed runs are removed first, since
    they may fill the disk.
    """
    digest = hashlib.sha256()
    is_stream = out.is_symlink() and out.readlink().is_relative_to("/proc")  # /dev/stdout, whatever it leads to
    if is_stream or (out.exists() and not (out.is_file() or out.is_dir())):
        # Renaming a file to the name of a device would replace the device.
        raise UsageError(f"{out} is not a regular file", "choose another --output")
    remove_leftovers(out)
    try:
        with atomic_file(out, durable=True) as stream:

            def write(data: bytes) -> None:
                digest.update(data)
                stream.write(data)

            write_to(write)
            size = stream.tell()
    except OSError as error:
        raise Unwritable(out, error, "choose another --output") from None
    return Shipped(path=out, size=size, sha256=Sha256(digest.hexdigest()))
