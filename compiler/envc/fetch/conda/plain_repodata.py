"""Plain repodata: where its names stand, found while it passes by in pieces.

Nearly all repodata is one line of ``"file":{…},"file":{…}`` without white space, and reading it costs what its letters
cost. So plain records are not decoded here: a regular expression runs from brace to brace, and what it takes out is
left out of the skeleton, which is the document without those records. Only that is decoded.

Why this is exact, as long as the document is JSON: after ``},`` a quote before a letter of a file name opens a string,
because one that closes a string stands before ``,``, ``:``, ``]``, ``}`` or white space, and one that is escaped behind
a backslash. So the brace in ``},"file":{`` ends a value, and what lies between two such braces begins and ends outside
of strings. If it opened more than one brace, the skeleton would close one too many and could not be decoded. A mark in
the skeleton stands for each run of records that was taken out, and tells which table they are of. Where a record is no
JSON, that is noticed when somebody asks for its name.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from mmap import mmap

import msgspec

from envc.fetch.conda.slices import Span
from envc_solvers.conda.language.record import name_of

_LARGEST_REST = 1 << 24  # bytes that are in no plain record, or of one record

_PART = rb"[\w.+!~=@%]+"
# Files of one name and their records, from the brace before the first to the brace that ends the last.
_NEIGHBOURS = re.compile(
    rb'\},"((?:%b-)+)%b-%b":\{(?:[^}]*+\},"\1%b+-%b+":\{)*+[^}]*+' % (_PART, _PART, _PART, _PART, _PART)
)
_FILE = re.compile(rb'\},"([^"]+)":\{')  # in plain records
_MARK = "/run"  # no file is called like that


class NotPlain(Exception):
    """Repodata that is laid out in another way."""


class _Run:
    """Plain records that stand side by side, so they are of one table."""

    def __init__(self) -> None:
        self.names: list[bytes] = []  # each with the dash behind it
        self.starts: list[int] = []  # of each name's first file
        self.stop = 0  # of the last record

    def spans(self) -> Iterator[Span]:
        names = b"\n".join(self.names).decode("ascii")[:-1].split("-\n")
        return zip(names, self.starts, [*(start - 1 for start in self.starts[1:]), self.stop], strict=True)


class PlainRepodataScanner:
    """Repodata that is shown piece by piece, and then says where its names stand."""

    def __init__(self) -> None:
        self._rest = b""  # of what was shown, from the last brace that may stand before a file
        self._seen = 0  # bytes of the document before the rest
        self._known = 0  # bytes of the rest that are in the skeleton or in a run already
        self._runs: list[_Run] = []
        self._is_open = False  # whether the last run may go on
        self._kept: list[bytes] = []  # parts of the skeleton
        self._offsets: list[tuple[int, int]] = []  # where they stand: in the skeleton, in the document
        self._length = 0  # bytes of the skeleton
        self._singles: dict[int, str] = {}  # where records of the skeleton start in the document: their files
        self._is_plain = True

    def feed(self, piece: bytes) -> None:
        """Show the next piece of the document. What is not plain is refused at the end."""
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
            self._keep(text, known, begin)
            # Behind the last record of a run stands something else, so that its first brace may not be its end. It is
            # left to the skeleton, or, where the piece ends, looked at again with the next one.
            known = text.rfind(b"}", starts[after - 1], stops[after - 1]) + 1
            if begin < known:
                self._take([match[1] for match in matches[first:after]], starts[first:after], known)
        if not matches or stops[-1] != end:
            self._keep(text, known, end + 1)
            known = end + 1
        self._rest = text[known - 1 :]
        self._seen += known - 1
        self._known = 1

    def skeleton(self) -> bytes:
        """What is left of the document when plain records are taken out. Raises NotPlain where that is much."""
        self._keep(self._rest, self._known, len(self._rest))
        self._known = len(self._rest)
        skeleton = b"".join(self._kept)
        if not self._is_plain or skeleton.count(b'"%b' % _MARK.encode()) != len(self._runs):
            raise NotPlain
        return skeleton

    def find(self, skeleton: bytes, tables: Sequence[Mapping[str, msgspec.Raw]]) -> list[list[Span]]:
        """Where the names of tables stand in the document, given the tables of the skeleton. Raises NotPlain."""
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
                    kept_at, offset = self._offsets[bisect_right(self._offsets, (at, self._seen)) - 1]
                    start = offset + at - kept_at
                    self._singles[start] = file
                    spans.append((name, start, start + len(member)))
            found.append(spans)
        if runs != len(self._runs):
            raise NotPlain  # some are of tables that nobody asks for
        return found

    def without(self, data: bytes | mmap, found: Sequence[list[Span]], removed: Iterable[str]) -> Iterator[Span]:
        """The spans of `packages` and `packages.conda` in the whole document, without files that do not count.

        These are the removed ones, and archives that are also there as .conda.
        """
        archives, conda = found
        shared = {name for name, _, _ in archives} & {name for name, _, _ in conda}
        twins = {
            file.removesuffix(b".tar.bz2") + b".conda": file
            for span in archives
            if span[0] in shared
            for file in self._files(data, span)
        }
        gone = {file.encode() for file in removed}
        for span in conda:
            if span[0] in shared:
                files = self._files(data, span)
                if not twins.keys().isdisjoint(files):
                    gone.update(twins[file] for file in files if file in twins)
        touched = {name_of(file.decode()) for file in gone}
        for spans in found:
            for span in spans:
                if span[0] in touched:
                    yield from self._split(data, span, gone)
                else:
                    yield span

    def _files(self, data: bytes | mmap, span: Span) -> list[bytes]:
        """The files in a span."""
        _, start, stop = span
        single = self._singles.get(start)
        return [single.encode()] if single is not None else _FILE.findall(data, start - 2, stop)

    def _split(self, data: bytes | mmap, span: Span, gone: Set[bytes]) -> Iterator[Span]:
        """What is left of a span without some files."""
        files = self._files(data, span)
        if gone.isdisjoint(files):
            yield span
        elif len(files) > 1:
            name, start, stop = span
            starts = [match.start() + 2 for match in _FILE.finditer(data, start - 2, stop)]
            stops = [*(start - 1 for start in starts[1:]), stop]
            for file, start, stop in zip(files, starts, stops, strict=True):
                if file not in gone:
                    yield name, start, stop

    def _keep(self, text: bytes, start: int, stop: int) -> None:
        """Put a part of the text into the skeleton."""
        if start == stop:
            return
        if self._is_open:
            mark = b',"%b%d":0' % (_MARK.encode(), len(self._runs) - 1)
            self._kept.append(mark)
            self._length += len(mark)
            self._is_open = False
        self._offsets.append((self._length, self._seen + start))
        self._kept.append(text[start:stop])
        self._length += stop - start

    def _take(self, names: list[bytes], starts: list[int], stop: int) -> None:
        """Take records out of the text, up to `stop`."""
        if not self._is_open:
            self._runs.append(_Run())
            self._is_open = True
        run = self._runs[-1]
        if starts[-1] + 1 == stop:
            del names[-1], starts[-1]  # only its last record is there
        known = bool(run.names) and run.names[-1] == names[0]
        run.names += names[known:]
        run.starts += [self._seen + start + 2 for start in starts[known:]]
        run.stop = self._seen + stop
