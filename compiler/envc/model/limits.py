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
ANSWER_RATIO = 200  # of an answer to its compressed form; pages become 10 to 20 times smaller
ANSWER_FREE_BYTES = 16 * _MIB  # whatever the ratio
REDIRECTS = 8  # mirrors need two or three
GIT_SECONDS = 3600  # for one git command; the largest repositories take minutes
GIT_FILE_BYTES = 16 * _MIB  # of a file that is read from a repository, such as pyproject.toml
KEYRING_SECONDS = 120  # a locked keyring may ask the user first

# Indexes
PAGE_BYTES = 64 * _MIB  # after decompression; the largest pages have about 20 MiB
PAGE_FILES = 200_000  # ten times as many as the largest projects have
HTML_TAG_BYTES = 64 * _KIB  # of one tag; the reason of a yank may be long, and escaped quotes take six times as much
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
SHARD_DOWNLOAD_BYTES = 16 * _MIB  # as SHARD_BYTES, compressed
SHARD_BYTES = 64 * _MIB  # after decompression; the largest have some MiB
SHARD_RATIO = 40  # as RECORD_DOWNLOAD_BYTES: the digests of a record are a thirtieth of it
SHARD_FREE_BYTES = 4 * _MIB  # whatever the ratio
INFO_BYTES = 64 * _MIB  # of `info/` in a conda package, after decompression
INFO_LINE_BYTES = 4 * _KIB  # of a list in `info/`; a path has 1 KiB at most

# Archives
ARCHIVE_ENTRIES = 250_000  # the largest packages have about 100,000
ARCHIVE_BYTES = 32 * _GIB  # of all contents; the largest wheels have about 6 GiB
ARCHIVE_RATIO = 200  # of the contents to the archive; packages with large empty tables reach 100
ARCHIVE_FREE_BYTES = 256 * _MIB  # of the contents, whatever the ratio
ARCHIVE_LINK_PARTS = 1 << 20  # parts of link targets in a tar archive that are followed to spell others plainly
ARCHIVE_TEXT_BYTES = 64 * _MIB  # of a file that is read into memory, such as RECORD or paths.json
ZIP_DIRECTORY_BYTES = 64 * _MIB  # 256 bytes for each entry
TAR_EXTENSION_BYTES = _MIB  # of a pax header or a long name; the limit of libarchive
ZSTD_WINDOW_BYTES = 128 * _MIB  # of memory that a frame may ask for; the default limit of `zstd -d`
SOURCE_ENTRIES = 100_000  # of a source distribution; the largest have some ten thousand
SOURCE_BYTES = 4 * _GIB  # of all contents of a source distribution
SOURCE_FREE_BYTES = 64 * _MIB  # of its contents, whatever the ratio
SOURCE_TEXT_BYTES = 16 * _MIB  # of a PKG-INFO or pyproject.toml of sources
TABLE_BYTES = 64 * _MIB  # of the table of standalone interpreters, which has 1 MiB
DOWNLOAD_BYTES = 256 * _GIB  # of a file whose size no source states

# Stores and bundles
POINTER_BYTES = _MIB  # it names an environment and some packages
TAG_BYTES = 64 * _KIB  # it names a lock
RECORD_BYTES = 256 * _MIB  # of JSON; a record of 100,000 files has about 20 MiB
INDEX_BYTES = 128 * _MIB  # of JSON, the index of an object; one of 100,000 files has about 20 MiB
DOCUMENT_RATIO = 50  # of a record or index to its frame; digests, which cannot be compressed, are a third of it
DOCUMENT_FREE_BYTES = 64 * _MIB  # whatever the ratio, for as many equal files as an archive may hold
CODE_BYTES = _GIB  # of the code of a step
CONTENT_BYTES = 1024 * _GIB  # of one file

# The project
MANIFEST_BYTES = 4 * _MIB  # a thousand steps have about 0.1 MiB
LIMIT_FILE_BYTES = 4 * _MIB  # of a file of constraints; those of large platforms have 0.1 MiB
NESTED_LIMIT_FILES = 100  # that a file of constraints leads to
LOCK_BYTES = 64 * _MIB  # a lock of a thousand steps has about 1 MiB

# The search for versions; options change these two
SOLVE_SECONDS = 900  # for one problem with PyPI packages, downloads included
SOLVE_CANDIDATES = 200_000  # for one problem with PyPI packages; the hardest known need some thousands
