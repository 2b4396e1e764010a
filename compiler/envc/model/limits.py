"""The limits on size, number and time for everything that is read from outside, with their reasons.

A limit is far above what real inputs need, and low enough that a hostile input of a MiB costs seconds and some hundred
MiB at most. ``compiler/SECURITY.md`` lists the same values, and ``tests/unit/test_limits.py`` compares them. The end of
a name is its unit; a name without a unit is a number of things.
"""

from __future__ import annotations

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30

# The network
SILENCE_SECONDS = 30  # without a byte; slow indexes need some seconds to make a page
RATE_BYTES = 1024  # received in a second of waiting, on average; a modem reaches four times as much
RATE_PERIOD_SECONDS = 60  # over which the rate is averaged, so that a short stall does not count
REDIRECTS = 8  # mirrors need two or three
GIT_SECONDS = 3600  # for one git command; the largest repositories take minutes
GIT_FILE_BYTES = 16 * _MIB  # of a file that is read from a repository, such as pyproject.toml
KEYRING_SECONDS = 120  # a locked keyring may ask the user first

# Indexes
PAGE_BYTES = 64 * _MIB  # after decompression; the largest pages have about 20 MiB
PAGE_FILES = 200_000  # ten times as many as the largest projects have
HTML_TAG_BYTES = 8 * _KIB  # of one tag; the reason of a yank may be long
REQUIRES_PYTHON_BYTES = 4 * _KIB  # long ones have a hundred characters
METADATA_BYTES = 16 * _MIB  # with the description, which may hold pictures
REQUIREMENTS_BYTES = 2 * _MIB  # of one artifact; projects with thousands of extras have 0.4 MiB

# Channels
REPODATA_DOWNLOAD_BYTES = _GIB  # conda-forge's largest has 0.1 GiB compressed
REPODATA_BYTES = 2 * _GIB  # after decompression; conda-forge's largest has about 0.4 GiB
REPODATA_RATIO = 200  # to the download; `zstd -19` makes repodata 10 to 20 times smaller
REPODATA_FREE_BYTES = 16 * _MIB  # whatever the ratio
RECORD_DOWNLOAD_BYTES = 16  # of the download for each record, since the digests of a record cannot be compressed
RECORDS_FREE = 100_000  # whatever the download
SHARD_DOWNLOAD_BYTES = 16 * _MIB
SHARD_BYTES = 64 * _MIB  # after decompression; the largest have some MiB
SHARD_RATIO = 40  # as RECORD_DOWNLOAD_BYTES: the digests of a record are a thirtieth of it
SHARD_FREE_BYTES = 4 * _MIB  # whatever the ratio
INFO_BYTES = 64 * _MIB  # of `info/` in a conda package, after decompression
INFO_LINE_BYTES = 4 * _KIB  # of a list in `info/`; a path has 1 KiB at most

# The project
MANIFEST_BYTES = 4 * _MIB  # a thousand steps have about 0.1 MiB
MANIFEST_MISTAKES = 200  # located and shown; more are not read, and each costs a pass over the text
LOCK_BYTES = 64 * _MIB  # a lock of a thousand steps has about 1 MiB

# The search for versions; options change these two
SOLVE_SECONDS = 900  # for one problem with PyPI packages, downloads included
SOLVE_CANDIDATES = 200_000  # for one problem with PyPI packages; the hardest known need some thousands
