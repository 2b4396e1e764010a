"""The contents of an artifact, in the form that wheels, conda packages and interpreters have in common."""

from __future__ import annotations

import msgspec

from envc.model.record import Member
from envc.shipping.format.encode import Entry
from envc.shipping.unpack.errors import BadArtifact


class Contents(msgspec.Struct, frozen=True):
    """An open artifact: the entries of its object, and the members that they must produce."""

    file: str
    entries: tuple[Entry, ...]  # sorted by path
    members: tuple[Member, ...]  # the same entries, with the digests that the artifact itself states
    promised: str  # where the artifact states the digests; used in errors
    left_out: tuple[str, ...] = ()  # paths in a prefix that only conda packages may write, sorted
    remarks: tuple[str, ...] = ()  # what else differs from what the artifact says; they follow the name of the file
    record_faults: tuple[str, ...] = ()  # where the RECORD of a wheel is not as it should be; they follow "its RECORD"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the object differs from what the artifact says, and what the artifact should say."""
        found = [f"{self.file}: {remark}" for remark in self.remarks]
        if self.left_out:
            first, *others = self.left_out
            more = f" and {len(others)} more" if others else ""
            found.append(f"{self.file} is installed without {first}{more}: only conda packages may write there")
        if self.record_faults:
            found.append(
                f"{self.file}: its RECORD {'; '.join(self.record_faults)} (accepted, as the lock has the sha256 of the "
                'whole file; `record = "strict"` in [policy] refuses it)'
            )
        return tuple(found)

    def check(self, written: tuple[Member, ...]) -> None:
        """Raise BadArtifact unless the members that were written have the stated digests."""
        for promised, actual in zip(self.members, written, strict=True):
            if promised != actual:
                raise BadArtifact(self.file, f"{promised.path} does not match its digest in {self.promised}")
