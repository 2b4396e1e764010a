"""Everything that a verb reads from outside its arguments."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from envc.errors import UsageError
from envc.model.limits import SOLVE_CANDIDATES, SOLVE_SECONDS
from envc.model.progress import Progress


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a search for versions. They decide whether there is a result, never which one."""

    candidates: int = SOLVE_CANDIDATES  # tried for one problem
    seconds: float = SOLVE_SECONDS  # for one problem, including downloads

    def clock(self) -> Callable[[], bool]:
        """A function that returns whether a search that starts now has to stop."""
        end = time.monotonic() + self.seconds
        return lambda: time.monotonic() > end


_YEARS = (1970, 9000)  # of ENVC_NOW: any span of a manifest can be counted back from them


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The environment variables, working directory and clock, where to report, and what the user allows."""

    environ: Mapping[str, str]
    cwd: Path
    progress: Progress
    offline: bool = False  # never use the network
    refresh: bool = False  # query the indexes again, however recent the cached data is
    force: bool = False  # continue on a machine that does not meet the requirements of an environment
    limits: Limits = Limits()
    find_cache: Callable[[], Path] | None = None  # None: the folder that the environment variables name, unchecked

    @property
    def now(self) -> datetime:
        """``ENVC_NOW`` if set, else the clock; always aware."""
        text = self.environ.get("ENVC_NOW")
        if not text:
            return datetime.now(UTC)
        try:
            moment = datetime.fromisoformat(text)
            if not _YEARS[0] <= moment.year <= _YEARS[1]:
                raise ValueError
        except ValueError:
            raise UsageError(f"ENVC_NOW is {text!r}, which is not a time", "write 2026-11-01T00:00:00Z") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def cache(self) -> Path:
        return self.find_cache() if self.find_cache is not None else cache_folder(self.environ)


def user_path(text: str, what: str) -> Path:
    """A path that a user wrote, with ``~`` expanded. `what` names its origin in errors, such as ``--store``.

    Raises UsageError for a text that is no path on any machine, and for the home folder of an unknown user.
    """
    try:
        if "\0" in text:
            raise ValueError
        return Path(text).expanduser()
    except (RuntimeError, ValueError):
        raise UsageError(f"{what}: {text[:200]!r} is not a path", "name a folder or file of this machine") from None


_SCHEMES = frozenset(
    {
        "http", "https", "ftp", "ftps", "sftp", "ssh", "file", "local", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss",
        "adl", "hdfs", "webdav", "oss", "oci", "r2", "memory",
    }
)  # fmt: skip


def misspelt_url(text: str) -> str | None:
    """The URL that a text seems to be meant as, although it would count as a path: ``s3:team``, ``https:/host``,
    ``S3//team``. None for any other text. ``./s3:team`` is always a path, and one letter before a colon is a drive.
    """
    start, colon, rest = text.partition(":")
    if not colon:
        start, slashes, rest = text.partition("//")
        is_scheme = bool(slashes) and start.lower() in _SCHEMES
    else:
        is_scheme = len(start) > 1 and start[0].isalpha() and start.isascii()
        is_scheme = is_scheme and all(each.isalnum() or each in "+-." for each in start)
    if not is_scheme or rest.startswith("//"):
        return None
    slashes = "///" if start.lower() in ("file", "local") else "//"
    return f"{start.lower()}:{slashes}{rest.lstrip('/')}"


def refuse_misspelt_url(text: str, what: str) -> None:
    """Raise UsageError for a text that is meant as a URL and would count as a path. `what` names its origin."""
    meant = misspelt_url(text)
    if meant is not None:
        secret = "@" in text or "?" in text
        shown = f"{meant.partition('://')[0]}:…" if secret else text
        hint = "" if secret else f"write {meant}, or ./{text} for a path of that name"
        raise UsageError(f"{what}: {shown!r} looks like a URL, and is none", hint or "begin it like https://")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """``ENVC_CACHE_DIR``, else the user's cache directory as the platform defines it."""
    chosen = environ.get("ENVC_CACHE_DIR")
    if chosen:
        return user_path(chosen, "ENVC_CACHE_DIR").absolute()
    return user_folder("cache", environ)


class NoHome(UsageError):
    """A user without a home folder, as in containers with arbitrary users."""


def user_folder(kind: Literal["cache", "data"], environ: Mapping[str, str]) -> Path:
    """envc's folder of that kind for this user, as the platform defines it. Raises NoHome."""
    home = environ.get("HOME", "")
    if sys.platform == "linux" and home.startswith("/") and "ANDROID_ROOT" not in environ:
        # The rule of platformdirs (XDG Base Directory Specification). Importing it would add 5 ms to every run.
        variable, default = ("XDG_CACHE_HOME", ".cache") if kind == "cache" else ("XDG_DATA_HOME", ".local/share")
        chosen = environ.get(variable, "")
        return Path(chosen) / "envc" if chosen.startswith("/") else Path(home, default, "envc")
    from platformdirs import user_cache_path, user_data_path

    try:
        folder = (user_cache_path if kind == "cache" else user_data_path)("envc", appauthor=False)
        if not folder.is_absolute():  # HOME is a relative path: each working directory would have another folder
            raise RuntimeError
        return folder
    except RuntimeError:
        setting = "ENVC_CACHE_DIR" if kind == "cache" else "ENVC_STORE"
        raise NoHome("this user has no home folder", f"set HOME, or {setting}, to a folder") from None


def home_folder(environ: Mapping[str, str]) -> Path:
    """The home folder of the user. A user without one, as in containers with arbitrary users, gets ``/``, as from a
    shell that ``login`` starts.
    """
    chosen = environ.get("HOME") or environ.get("USERPROFILE")
    try:
        home = Path(chosen) if chosen else Path.home()
        return home if home.is_absolute() else Path("/")
    except RuntimeError:
        return Path("/")
