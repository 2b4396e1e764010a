"""Why a version or one of its files can never be chosen, as a value that explanations put into words."""

from __future__ import annotations

from typing import Literal, NamedTuple

RejectionKind = Literal[
    "too-new", "no-upload-time", "requires-python", "yanked", "prerelease", "metadata", "url", "sdist", "no-file"
]


class Rejection(NamedTuple):
    """One reason, of one kind."""

    kind: RejectionKind
    detail: str = ""  # Requires-Python, the reason for yanking, the error in the metadata, or the project with a URL


TOO_NEW = Rejection("too-new")
NO_UPLOAD_TIME = Rejection("no-upload-time")
PRERELEASE = Rejection("prerelease")
SDIST = Rejection("sdist")
NO_FILE = Rejection("no-file")
