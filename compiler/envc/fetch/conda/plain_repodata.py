"""Plain repodata: finds the positions of names while the document is read in pieces.

Nearly all repodata is one line of ``"file":{…},"file":{…}`` without white space, and decoding takes time in proportion
to its length. So plain records are not decoded here. A regular expression matches them from brace to brace, and they
are removed from the document. What remains is called the skeleton, and only the skeleton is decoded.

This is exact if the document is JSON. After ``},`` a quote before a letter of a file name opens a string: a quote that
closes a string is followed by ``,``, ``:``, ``]``, ``}`` or white space, and an escaped quote is preceded by a
backslash. So the brace in ``},"file":{`` ends a value, and the text between two such braces begins and ends outside of
strings. If that text opened more than one brace, the skeleton would have one closing brace too many and could not be
decoded. In the skeleton a mark replaces each run of removed records, and shows which table they belong to. A record
that is not JSON is detected when its name is looked up.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from mmap import mmap

import msgspec

from envc.fetch.conda.note import ARCHIVES
from envc.fetch.conda.slices import Span
from envc_solvers.conda.language.record import name_of

_LARGEST_REST = 1 << 24  # bytes outside of plain records, and of one record

_PART = rb"[\w.+!~=@%]+"
# Files of one name and their records, from the brace before the first to the brace that ends the last.
_NEIGHBOURS = re.compile(
    rb'\},"((?:%b-)+)%b-%b":\{(?:[^}]*+\},"\1%b+-%b+":\{)*+[^}]*+' % (_PART, _PART, _PART, _PART, _PART)
)
_FILE = re.compile(rb'\},"([^"]+)":\{')  # in plain records
_MARK = "/run"  # not a valid file name


class NotPlain(Exception):
    """Repodata with another layout."""


class _Run:
    """Adjacent plain records, which therefore belong to one table."""

    def __init__(self) -> None:
        self.names: list[bytes] = []  # each with the dash that follows it
        self.starts: list[int] = []  # of each name's first file
        self.stop = 0  # of the last record

    def spans(self) -> Iterator[Span]:
        names = b"\n".join(self.names).decode("ascii")[:-1].split("-\n")
        return zip(names, self.starts, [*(start - 1 for start in self.starts[1:]), self.stop], strict=True)


class PlainRepodataScanner:
    """Scans repodata piece by piece, and then gives the positions of its names."""

    def __init__(self, names: int) -> None:
        """`names` is the largest number of names that the document may have."""
        self._names_left = names
        self._rest = b""  # the end of the text so far, from the last brace that may precede a file
        self._seen = 0  # bytes of the document before the rest
        self._known = 0  # bytes of the rest that are in the skeleton or in a run already
        self._runs: list[_Run] = []
        self._is_open = False  # whether the last run may continue
        self._parts: list[bytes] = []  # parts of the skeleton
        self._offsets: list[tuple[int, int]] = []  # of these parts: in the skeleton, in the document
        self._length = 0  # bytes of the skeleton
        self._singles: dict[int, str] = {}  # files of records in the skeleton, by their offset in the document
        self._is_plain = True

    def feed(self, piece: bytes) -> None:
        """Scan the next piece of the document. `skeleton` and `find` raise NotPlain if it is not plain.

        Raises ValueError if it has too many names.
        """
        if self._length + len(self._rest) > _LARGEST_REST:
            self._is_plain = False
        if not self._is_plain:
            return
        text = self._rest + piece
        end = text.rfind(b'},"')
        if end < 0:
            self._rest = text
            return
        matches = list(_NEIGHBOURS.finditer(text, 0, end))
        starts = [match.start() for match in matches]
        stops = [match.end() for match in matches]
        gaps = [at for at in range(1, len(matches)) if starts[at] != stops[at - 1]]
        known = self._known
        for first, after in zip([0, *gaps], [*gaps, len(matches)], strict=True) if matches else ():
            begin = starts[first] + 1
            self._add_to_skeleton(text, known, begin)
            # Something else follows the last record of a run, so the first closing brace in it may not end it. The
            # record stays in the skeleton or, at the end of a piece, is scanned again with the next piece.
            known = text.rfind(b"}", starts[after - 1], stops[after - 1]) + 1
            if begin < known:
                self._names_left -= after - first
                if self._names_left < 0:
                    raise ValueError("it holds far more names than a file of its size can")
                self._add_to_run([match[1] for match in matches[first:after]], starts[first:after], known)
        if not matches or stops[-1] != end:
            self._add_to_skeleton(text, known, end + 1)
            known = end + 1
        self._rest = text[known - 1 :]
        self._seen += known - 1
        self._known = 1

    def skeleton(self) -> bytes:
        """The document without its plain records. Raises NotPlain if it is large."""
        self._add_to_skeleton(self._rest, self._known, len(self._rest))
        self._known = len(self._rest)
        skeleton = b"".join(self._parts)
        if not self._is_plain or skeleton.count(b'"%b' % _MARK.encode()) != len(self._runs):
            raise NotPlain
        return skeleton

    def find(self, skeleton: bytes, tables: Sequence[Mapping[str, msgspec.Raw]]) -> list[list[Span]]:
        """The positions of each table's names in the document, given the tables of the skeleton. Raises NotPlain."""
        found: list[list[Span]] = []
        runs = 0
        for table in tables:
            spans: list[Span] = []
            stop = 0
            for file, record in table.items():
                member = b'"%b":%b' % (file.encode(), record)
                at = skeleton.find(member, stop)
                if at < 0 or not file.isascii():
                    raise NotPlain
                stop = at + len(member)
                if file.startswith(_MARK):
                    spans += self._runs[int(file.removeprefix(_MARK))].spans()
                    runs += 1
                elif name := name_of(file):
                    skeleton_at, offset = self._offsets[bisect_right(self._offsets, (at, self._seen)) - 1]
                    start = offset + at - skeleton_at
                    self._singles[start] = file
                    spans.append((name, start, start + len(member)))
            found.append(spans)
        if runs != len(self._runs):
            raise NotPlain  # some belong to other tables
        return found

    def without(self, data: bytes | mmap, found: Sequence[list[Span]], removed: Iterable[str]) -> Iterator[Span]:
        """The spans of `packages` and `packages.conda` in the whole document, without the removed files.

        Archives that also exist as .conda have a key of their own.
        """
        archives, conda = found
        shared = {name for name, _, _ in archives} & {name for name, _, _ in conda}
        twins = {
            file.removesuffix(b".tar.bz2") + b".conda": file
            for span in archives
            if span[0] in shared
            for file in self._files(data, span)
        }
        excluded = {file.encode() for file in removed}
        archived: set[bytes] = set()
        for span in conda:
            if span[0] in shared:
                files = self._files(data, span)
                if not twins.keys().isdisjoint(files):
                    archived.update(twins[file] for file in files if file in twins)
        touched = {name_of(file.decode()) for file in (*excluded, *archived)}
        for spans in found:
            for span in spans:
                if span[0] in touched:
                    yield from self._split(data, span, excluded, archived)
                else:
                    yield span

    def _files(self, data: bytes | mmap, span: Span) -> list[bytes]:
        """The files in a span."""
        _, start, stop = span
        single = self._singles.get(start)
        return [single.encode()] if single is not None else _FILE.findall(data, start - 2, stop)

    def _split(self, data: bytes | mmap, span: Span, excluded: Set[bytes], archived: Set[bytes]) -> Iterator[Span]:
        """The parts of a span that remain without some files, those of archived files under their own key."""
        files = self._files(data, span)
        if excluded.isdisjoint(files) and archived.isdisjoint(files):
            yield span
            return
        name, start, stop = span
        starts = [start]
        if len(files) > 1:
            starts = [match.start() + 2 for match in _FILE.finditer(data, start - 2, stop)]
        stops = [*(start - 1 for start in starts[1:]), stop]
        parts: list[Span] = []
        for file, start, stop in zip(files, starts, stops, strict=True):
            if file in excluded:
                continue
            key = name + ARCHIVES if file in archived else name
            if parts and parts[-1][0] == key and parts[-1][2] == start - 1:
                start = parts.pop()[1]
            parts.append((key, start, stop))
        yield from parts

    def _add_to_skeleton(self, text: bytes, start: int, stop: int) -> None:
        """Add a part of the text to the skeleton."""
        if start == stop:
            return
        if self._is_open:
            mark = b',"%b%d":0' % (_MARK.encode(), len(self._runs) - 1)
            self._parts.append(mark)
            self._length += len(mark)
            self._is_open = False
        self._offsets.append((self._length, self._seen + start))
        self._parts.append(text[start:stop])
        self._length += stop - start

    def _add_to_run(self, names: list[bytes], starts: list[int], stop: int) -> None:
        """Add the records up to `stop` to a run."""
        if not self._is_open:
            self._runs.append(_Run())
            self._is_open = True
        run = self._runs[-1]
        if starts[-1] + 1 == stop:
            del names[-1], starts[-1]  # the other records of this name precede the run
        known = bool(run.names) and run.names[-1] == names[0]
        run.names += names[known:]
        run.starts += [self._seen + start + 2 for start in starts[known:]]
        run.stop = self._seen + stop
