"""Every reader of text or bytes from outside, with valid samples and the errors in which hostile input may end.

The table "Readers and their errors" of `compiler/SECURITY.md` is this list: `test_readers.py` compares the two, tries
each reader on mutated samples and on texts that break parsers, and `python -m tests.fuzz` searches for more.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from envc.errors import EnvcError, LockFileError, ManifestError, UsageError
from envc.fetch.conda import repodata, slices
from envc.fetch.pypi import listing, metadata
from envc.fetch.standalone import NoStandalone
from envc.locking.builds.errors import BadSource
from envc.locking.lockfile import load as lock
from envc.locking.lockfile.conflict import LockConflict
from envc.locking.manifest import load as manifest
from envc.locking.manifest.cutoffs import BadCutoff, parse_cutoff
from envc.locking.manifest.limit_files import LimitFileError, read_limits
from envc.locking.manifest.python import BadPython
from envc.locking.worktree.ignore_patterns import patterns
from envc.model.manifest import LimitFile
from envc.model.reason import plain_reason
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.frames import compress
from envc.shipping.store import bundle_file, tags
from envc.shipping.store.keys import escape
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.records import get_pointer
from envc.shipping.store.upkeep.leases import Lease, read_leases
from envc.shipping.store.upkeep.notices import Notice, wait_for_collections
from envc.shipping.unpack import conda_info, launchers, records
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.errors import BadArtifact, BadPackage, BadWheel
from envc.shipping.unpack.standalone import open_standalone
from envc.shipping.unpack.wheel import open_wheel
from envc_solvers.conda.language import matchspec, version, versionspec
from envc_solvers.conda.language.record import RecordUnusable, decode_records
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.language import requirement
from tests.hostile.reading import (
    DIGEST,
    KEY,
    LAYOUT,
    METADATA,
    POINTER,
    PYPROJECT,
    RECORD,
    STEM,
    STEP_KEY,
    WHEEL,
    bundle_samples,
    card_samples,
    conflicted_locks,
    dist_info,
    html_pages,
    index_texts,
    info_file,
    json_pages,
    lock_texts,
    manifest_texts,
    object_samples,
    of_text,
    on_disk,
    opening,
    page,
    plain_tar,
    read_build_system,
    read_card,
    read_channel,
    read_compressed,
    read_conda_version,
    read_file_name,
    read_headers,
    read_index_text,
    read_interpreters,
    read_link_scripts,
    read_marker,
    read_matchspec,
    read_netrc,
    read_object,
    read_pip,
    read_python,
    read_query,
    read_record,
    read_repodata,
    read_shard,
    read_slices,
    read_specifier,
    read_variables,
    read_version_spec,
    read_zip,
    record_text,
    repodata_samples,
    sdist,
    shard_samples,
    shards_samples,
    slices_sample,
    standalone_samples,
    stored,
    tar_samples,
    to_json,
    wheel_by_ranges,
    wheel_samples,
)
from tests.support.conda_packages import build_conda
from tests.support.wheels import build_sdist, zip_bytes


class Reader(NamedTuple):
    """A function that reads what others wrote."""

    name: str  # in the table of SECURITY.md
    place: str  # "module.py: function", relative to compiler/envc or to the repository
    errors: tuple[type[Exception], ...]  # what hostile input may end in; () for readers that ignore it
    read: Callable[[bytes], object]
    samples: Callable[[], list[bytes]]  # valid, or nearly

    @property
    def key(self) -> str:
        """The name as a part of paths."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def check(self, data: bytes) -> Exception | None:
        """Read the data, and return the declared error in which that ended, if any. Other exceptions are raised.

        A subclass that another package or the standard library defines is not the declared error: its text is not
        meant for users.
        """
        try:
            self.read(data)
        except self.errors as error:
            if type(error) not in self.errors and not type(error).__module__.startswith("envc"):
                raise
            assert str(error).strip(), "an error without a reason"
            return error
        return None


READERS = (
    Reader(
        "project page, JSON", "fetch/pypi/listing.py: parse_page", (ValueError,), page(listing.JSON_TYPE), json_pages
    ),
    Reader("project page, HTML", "fetch/pypi/listing.py: parse_page", (ValueError,), page("text/html"), html_pages),
    Reader(
        "core metadata of a wheel",
        "fetch/pypi/metadata.py: parse_metadata",
        (MetadataUnusable,),
        partial(metadata.parse_metadata, WHEEL),
        lambda: [METADATA],
    ),
    Reader(
        "PKG-INFO of an sdist",
        "fetch/pypi/metadata.py: static_metadata",
        (MetadataUnusable,),
        partial(metadata.static_metadata, "demo-1.0.tar.gz"),
        lambda: [METADATA],
    ),
    Reader(
        "[project] of a source",
        "fetch/pypi/metadata.py: project_metadata",
        (MetadataUnusable,),
        partial(metadata.project_metadata, "demo-1.0.tar.gz"),
        lambda: [PYPROJECT],
    ),
    Reader(
        "METADATA in a wheel read by ranges",
        "fetch/pypi/wheel_metadata.py: read_metadata",
        (ValueError,),
        wheel_by_ranges,
        wheel_samples,
    ),
    Reader(
        "requirement",
        "solvers/envc_solvers/pypi/language/requirement.py: parse",
        (requirement.InvalidRequirement,),
        of_text(requirement.parse),
        lambda: [
            b'other[a,b] (>=1.0,!=1.5.*,<2) ; python_version < "3.12" and extra == "m"',
            b"a @ https://e.com/a.whl",
        ],
    ),
    Reader(
        "specifier of a requirement",
        "solvers/envc_solvers/pypi/language/requirement.py: canonical_specifier",
        (requirement.InvalidSpecifier,),
        of_text(requirement.canonical_specifier),
        lambda: [b">=1.0,!=1.5.*,<2", b"~=1!2.0rc1.post2.dev3", b"===odd", b"==1.0+local"],
    ),
    Reader(
        "specifier, compared",
        "solvers/envc_solvers/pypi/language/specifier.py: allows",
        (),
        of_text(read_specifier),
        lambda: [b">=1.0,!=1.5.*,<2", b"~=1!2.0rc1.post2.dev3", b"===odd", b"==1.0+local"],
    ),
    Reader(
        "marker",
        "solvers/envc_solvers/pypi/language/requirement.py: canonical_marker",
        (requirement.InvalidMarker,),
        of_text(requirement.canonical_marker),
        lambda: [b'(python_version < "3.12" or os_name == "nt") and extra in "a b"'],
    ),
    Reader(
        "marker, evaluated",
        "solvers/envc_solvers/pypi/language/markers.py: Markers",
        (),
        of_text(read_marker),
        lambda: [b'(python_version < "3.12" or os_name == "nt") and extra in "a b"', b"'2' ~= platform_release"],
    ),
    Reader(
        "file name of a wheel or sdist",
        "solvers/envc_solvers/pypi/language/tags.py: version_of",
        (),
        of_text(read_file_name),
        lambda: [
            WHEEL.encode(),
            b"demo-1!1.0rc1-1-cp312-abi3-manylinux_2_17_x86_64.musllinux_1_2_x86_64.whl",
            b"demo-1.tar.gz",
        ],
    ),
    Reader("repodata", "fetch/conda/repodata.py: index_repodata", (ValueError,), read_repodata, repodata_samples),
    Reader(
        "zstd of a channel",
        "fetch/conda/repodata.py: decompress",
        (ValueError,),
        read_compressed,
        lambda: [compress(b"x" * 999, 1)],
    ),
    Reader(
        "index of shards", "fetch/conda/repodata.py: index_shards", (ValueError,), repodata.index_shards, shards_samples
    ),
    Reader(
        "shard", "fetch/conda/repodata.py: records_of_shard", (ValueError, RecordUnusable), read_shard, shard_samples
    ),
    Reader(
        "records of repodata",
        "solvers/envc_solvers/conda/language/record.py: decode_records",
        (RecordUnusable,),
        lambda data: decode_records(data, "made", "linux-64"),
        lambda: [to_json({f"{STEM}.conda": RECORD}), to_json({f"{STEM}.conda": {**RECORD, "size": 7.0, "license": 1}})],
    ),
    Reader(
        "slices of a channel, cached",
        "fetch/conda/slices.py: Slices",
        (slices.Damaged,),
        on_disk(read_slices),
        slices_sample,
    ),
    Reader(
        "end of a conda package, for its link scripts",
        "fetch/conda/link_scripts.py: LinkScripts",
        (),
        read_link_scripts,
        lambda: [build_conda("demo", files={"bin/.demo-post-link.sh": "x"}).data],
    ),
    Reader(
        "match spec",
        "solvers/envc_solvers/conda/language/matchspec.py: parse_matchspec",
        (matchspec.InvalidMatchSpec,),
        of_text(read_matchspec),
        lambda: [
            b"conda-forge/linux-64::demo >=1.0,<2|3.* h*_0[build_number='>=1',md5=" + b"c" * 32 + b"]",
            b"demo=1.8=py27_0",
            b"https://e.com/linux-64/demo-1.0-h0_0.conda#" + b"c" * 32,
            b"demo ^1\\..*$",
        ],
    ),
    Reader(
        "conda version",
        "solvers/envc_solvers/conda/language/version.py: version_key",
        (version.InvalidVersion,),
        of_text(read_conda_version),
        lambda: [b"1!1.2.post3dev4+local.5_6", b"2.7.18"],
    ),
    Reader(
        "conda version spec",
        "solvers/envc_solvers/conda/language/versionspec.py: parse_version_spec",
        (versionspec.InvalidVersionSpec,),
        of_text(read_version_spec),
        lambda: [b">=1.0,<2|(3.*,!=3.5.*)", b"~=1.2", b"1.*.3", b"^1.*$"],
    ),
    Reader(
        "channel",
        "fetch/conda/channel_locations.py: resolve_channels",
        (UsageError,),
        of_text(read_channel),
        lambda: [
            b"conda-forge",
            b"https://user:password@example.com:8080/channel?q#f",
            b"file:///tmp/channel",
            b"./here",
        ],
    ),
    Reader(
        "HTTP headers",
        "fetch/net/http.py: max_age, retry_after",
        (),
        of_text(read_headers),
        lambda: [b"max-age=600, private", b"Wed, 21 Oct 2015 07:28:00 GMT", b"120"],
    ),
    Reader(
        "netrc",
        "fetch/net/credentials.py: Keyring",
        (),
        on_disk(read_netrc, "netrc"),
        lambda: [b'machine example.com login "a b" password c\ndefault login x\nmacdef init\ncd /\n\n'],
    ),
    Reader(
        "pip's configuration",
        "fetch/net/settings.py: read_settings",
        (UsageError,),
        on_disk(read_pip, "pip.conf"),
        lambda: [
            b"[global]\nindex-url = https://example.com/simple\nextra-index-url = https://a:b@c.d/\nproxy = http://p:1\n"
        ],
    ),
    Reader(
        "manifest",
        "locking/manifest/load.py: load_manifest",
        (ManifestError,),
        on_disk(manifest.load_manifest, "manifest.toml"),
        manifest_texts,
    ),
    Reader(
        "manifest in a pyproject.toml",
        "locking/manifest/load.py: load_manifest",
        (ManifestError,),
        on_disk(manifest.load_manifest, "pyproject.toml"),
        lambda: [
            b'[project]\nname = "demo"\n[tool.envc.project]\npython = "3.12"\nplatforms = ["linux-64"]\n'
            b'[tool.envc.steps.a]\npypi = ["numpy"]\n'
        ],
    ),
    Reader(
        "lock",
        "locking/lockfile/load.py: load",
        (LockFileError, LockConflict),
        on_disk(lock.load, "manifest.lock"),
        lock_texts,
    ),
    Reader(
        "lock with conflict markers",
        "locking/lockfile/load.py: load",
        (LockFileError, LockConflict),
        on_disk(lock.load, "manifest.lock"),
        conflicted_locks,
    ),
    Reader(
        "cut-off",
        "locking/manifest/cutoffs.py: parse_cutoff",
        (BadCutoff,),
        of_text(parse_cutoff),
        lambda: [b"2026-11-01T00:00:00+01:00", b"2026-11-01", b"7 days, 3 hours", b"P1DT2H"],
    ),
    Reader(
        "Python of a step",
        "locking/manifest/python.py: parse_python",
        (BadPython,),
        of_text(read_python),
        lambda: [b"3.12.7", b"3.13t", b"pypy3.10", b">=3.11,<3.13"],
    ),
    Reader(
        "options of `solve`",
        "locking/manifest/query.py: parse_query",
        (UsageError,),
        of_text(read_query),
        lambda: [
            b"pypi=numpy>=1",
            b"python=3.12",
            b"exclude_newer=7 days",
            b"platform=osx-arm64",
            b"conda=numpy >=1",
            b"virtual=__cuda=12.4",
        ],
    ),
    Reader(
        "wheel", "shipping/unpack/wheel.py: open_wheel", (BadWheel,), opening(open_wheel, WHEEL, LAYOUT), wheel_samples
    ),
    Reader(
        "RECORD of a wheel",
        "shipping/unpack/records.py: parse_record",
        (ValueError,),
        of_text(records.parse_record),
        lambda: [b"demo/__init__.py,sha256=" + b"A" * 43 + b',6\n"a,b",,\n'],
    ),
    Reader(
        "WHEEL file",
        "shipping/unpack/wheel.py: open_wheel",
        (BadWheel,),
        dist_info("demo-1.0.dist-info/WHEEL"),
        lambda: [b"Wheel-Version: 1.0\nGenerator: made\nTag: py3-none-any\n"],
    ),
    Reader(
        "script of a wheel",
        "shipping/unpack/wheel.py: open_wheel",
        (BadWheel,),
        dist_info("demo-1.0.data/scripts/tool"),
        lambda: [b'#!python\n# -*- coding: latin-1 -*-\n"""Text."""\nfrom __future__ import annotations\nprint(1)\n'],
    ),
    Reader(
        "entry_points.txt",
        "shipping/unpack/launchers.py: parse_entry_points",
        (ValueError,),
        of_text(launchers.parse_entry_points),
        lambda: [b"[console_scripts]\ntool = demo.main:run [extra]\n[gui_scripts]\nw = demo:w\n"],
    ),
    Reader(
        "conda package, .conda",
        "shipping/unpack/conda.py: open_conda",
        (BadPackage,),
        opening(open_conda, f"{STEM}.conda", "any", DIGEST),
        lambda: [build_conda("demo", files={"bin/a": "a"}).data],
    ),
    Reader(
        "conda package, .tar.bz2",
        "shipping/unpack/conda.py: open_conda",
        (BadPackage,),
        opening(open_conda, f"{STEM}.tar.bz2", "any", DIGEST),
        lambda: [build_conda("demo", files={"bin/a": "a"}, format="tar.bz2").data],
    ),
    Reader(
        "index.json",
        "shipping/unpack/conda_info.py: read_index",
        (ValueError,),
        conda_info.read_index,
        lambda: [to_json(RECORD)],
    ),
    Reader(
        "paths.json",
        "shipping/unpack/conda.py: open_conda",
        (BadPackage,),
        info_file("info/paths.json"),
        lambda: [
            to_json(
                {
                    "paths": [
                        {
                            "_path": "bin/a",
                            "path_type": "hardlink",
                            "sha256": "a" * 64,
                            "size_in_bytes": 1,
                            "prefix_placeholder": "/opt/" + "p" * 200,
                            "file_mode": "text",
                        }
                    ],
                    "paths_version": 1,
                }
            )
        ],
    ),
    Reader(
        "has_prefix",
        "shipping/unpack/conda.py: open_conda",
        (BadPackage,),
        info_file("info/has_prefix"),
        lambda: [b'"/opt/' + b"p" * 200 + b'" text "bin/a"\n', b"bin/a\n"],
    ),
    Reader(
        "link.json",
        "shipping/unpack/conda_info.py: read_entry_points",
        (ValueError,),
        conda_info.read_entry_points,
        lambda: [to_json({"noarch": {"type": "python", "entry_points": ["tool = demo.main:run"]}})],
    ),
    Reader(
        "sdist, tar",
        "locking/builds/origin.py: Archive",
        (BadSource,),
        sdist("demo-1.0.tar.gz"),
        lambda: [build_sdist("demo").data],
    ),
    Reader(
        "sdist, zip",
        "locking/builds/origin.py: Archive",
        (BadSource,),
        sdist("demo-1.0.zip"),
        lambda: [zip_bytes({"demo-1.0/PKG-INFO": METADATA, "demo-1.0/pyproject.toml": PYPROJECT})],
    ),
    Reader(
        "[build-system]",
        "locking/builds/backend.py: build_system",
        (BadSource,),
        read_build_system,
        lambda: [PYPROJECT],
    ),
    Reader("tar", "shipping/unpack/tars.py: open_tar", (ValueError,), plain_tar, tar_samples),
    Reader(
        "zip",
        "shipping/unpack/zips.py: open_zip",
        (ValueError,),
        read_zip,
        lambda: [zip_bytes({"a/b": b"x" * 99, "a/é": b""})],
    ),
    Reader(
        "interpreter",
        "shipping/unpack/standalone.py: open_standalone",
        (BadArtifact,),
        opening(open_standalone, "cpython-3.12.7+20241016-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"),
        standalone_samples,
    ),
    Reader(
        "table of interpreters",
        "fetch/standalone.py: read_table",
        (UsageError, NoStandalone),
        on_disk(read_interpreters, "versions.json"),
        lambda: [
            to_json(
                [
                    {
                        "python_version": {
                            "implementation": "cpython",
                            "major": 3,
                            "minor": 12,
                            "micro": 7,
                            "freethreaded": False,
                        },
                        "files": [
                            {
                                "platform": "linux",
                                "arch": "x86_64",
                                "install_only": True,
                                "sha256": "a" * 64,
                                "filename": "cpython-3.12.7+20241016-x.tar.gz",
                                "url": "https://e.com/x.tar.gz",
                            }
                        ],
                    }
                ]
            )
        ],
    ),
    Reader("object", "shipping/format/decode.py: read_object", (CorruptBlob,), read_object, object_samples),
    Reader(
        "index of an object",
        "shipping/format/object_index.py: read_index",
        (CorruptBlob,),
        read_index_text,
        index_texts,
    ),
    Reader(
        "record of an environment", "shipping/store/records.py: get_record", (CorruptBlob,), read_record, record_text
    ),
    Reader(
        "step pointer",
        "shipping/store/records.py: get_pointer",
        (CorruptBlob,),
        stored(STEP_KEY, lambda store: get_pointer(store, STEP_KEY)),
        lambda: [to_json(POINTER), to_json({**POINTER, "code": "c" * 64, "code_object": "d" * 64})],
    ),
    Reader(
        "tag",
        "shipping/store/tags.py: tags",
        (CorruptBlob,),
        stored("v1/tags/demo/v1.json", lambda store: list(tags.tags(store, OwnBlobs(store)))),
        lambda: [to_json({"format": 1, "lock": "a" * 64})],
    ),
    Reader(
        "lease",
        "shipping/store/upkeep/leases.py: read_leases",
        (CorruptBlob,),
        stored(f"v1/leases/{'a' * 32}.json", lambda store: read_leases(store, OwnBlobs(store), time.time)),
        lambda: [canonical_json(Lease(keys=(KEY,)))],
    ),
    Reader(
        "notice",
        "shipping/store/upkeep/notices.py: wait_for_collections",
        (CorruptBlob,),
        stored(f"v1/notices/{'a' * 32}.json", lambda store: wait_for_collections(store, ())),
        lambda: [canonical_json(Notice(keys=(KEY,)))],
    ),
    Reader(
        "single-file bundle",
        "shipping/store/bundle_file.py: open_bundle",
        (CorruptBlob,),
        on_disk(bundle_file.open_bundle),
        bundle_samples,
    ),
    Reader(
        "card of a single-file bundle", "pipeline/single_file.py: open_bundle", (CorruptBlob,), read_card, card_samples
    ),
    Reader(
        "variables of conda packages",
        "shipping/prefix/activate.py: variables",
        (EnvcError,),
        on_disk(read_variables, "prefix/etc/conda/env_vars.d/a.json"),
        lambda: [b'{"A": "b"}'],
    ),
    Reader(
        "file of constraints",
        "locking/manifest/limit_files.py: read_limits",
        (LimitFileError,),
        lambda data: read_limits(LimitFile(place="https://e.com/c.txt", at=("constraints", "files", 0)), data),
        lambda: [b"numpy<2 \\\n --hash=sha256:0 # why\na; python_version<'3'"],
    ),
    Reader(
        "name in a store",
        "shipping/store/keys.py: escape",
        (ValueError,),
        of_text(escape),
        lambda: [b"project 1", b".x"],
    ),
    Reader(
        ".gitignore",
        "locking/worktree/ignore_patterns.py: patterns",
        (),
        of_text(patterns),
        lambda: [b"*.py[cod]\n!/a/**/b/\n\\#x\n[[:space:]]"],
    ),
    Reader(
        "reason of a yank",
        "model/reason.py: plain_reason",
        (),
        of_text(plain_reason),
        lambda: [b"broken, see https://e.com"],
    ),
)
