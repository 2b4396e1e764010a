"""What the index of a repodata file holds beside the records of each name."""

from __future__ import annotations

import msgspec

ARCHIVES = "/archives"  # ends the key of a name's .tar.bz2 files that also exist as .conda; no name has a slash


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parts of a file other than records."""

    base_url: str = ""  # of package files (CEP-15); may be relative to the file's own URL
    shards_base_url: str = ""  # of shards, likewise
    newer: int = 0  # number of records of formats that envc does not read, such as wheels
