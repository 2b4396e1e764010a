"""Groups of readers that share the time of a fuzzing run. The readers of most input have a group of their own."""

from __future__ import annotations

from tests.hostile.readers import READERS, Reader

GROUPS: tuple[tuple[str, ...], ...] = (
    ("tar",),
    ("zip",),
    ("project-page-json",),
    ("project-page-html",),
    ("core-metadata-of-a-wheel",),
    ("pkg-info-of-an-sdist", "project-of-a-source", "metadata-in-a-wheel-read-by-ranges"),
    ("wheel", "wheel-file", "script-of-a-wheel"),
    ("record-of-a-wheel", "entry-points-txt", "link-json", "index-json", "paths-json", "has-prefix"),
    ("conda-package-conda", "conda-package-tar-bz2", "end-of-a-conda-package-for-its-link-scripts"),
    ("sdist-tar", "sdist-zip", "build-system", "interpreter", "table-of-interpreters"),
    ("repodata",),
    ("index-of-shards", "shard", "records-of-repodata", "zstd-of-a-channel"),
    ("slices-of-a-channel-cached",),
    ("lock",),
    ("lock-with-conflict-markers", "manifest-in-a-pyproject-toml"),
    ("manifest",),
    ("index-of-an-object",),
    ("object", "tag", "lease", "notice"),
    ("record-of-an-environment",),
    ("step-pointer",),
    ("single-file-bundle",),
    ("card-of-a-single-file-bundle", "file-name-of-a-wheel-or-sdist", "python-of-a-step", "cut-off"),
    ("match-spec",),
    ("conda-version",),
    ("conda-version-spec", "specifier-of-a-requirement", "specifier-compared", "marker", "marker-evaluated"),
    ("requirement",),
    (
        "http-headers",
        "netrc",
        "pip-s-configuration",
        "channel",
        "options-of-solve",
        "variables-of-conda-packages",
        "name-in-a-store",
        "reason-of-a-yank",
        "gitignore",
        "file-of-constraints",
    ),
)
BY_KEY: dict[str, Reader] = {reader.key: reader for reader in READERS}
