"""Direct references: requirements that give the address of their project, as a URL, a path or a git repository.

They are written as PEP 508's ``name @ url``, with pip's ``git+`` addresses and its fragments ``sha256=…`` and
``subdirectory=…`` after ``#``, or as tables of a manifest, which have keys for these parts.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from envc.fetch.net.urls import git_mistake, url_mistake
from envc.locking.manifest.paths import check_inside
from envc.locking.manifest.report import Report
from envc.model.digest import parse_sha256
from envc.model.manifest import KeyPath, PyPIDependency
from envc_solvers.pypi.language.requirement import Requirement

WEB = frozenset({"http", "https"})
SDIST_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".zip")


class Address(msgspec.Struct, frozen=True):
    """A URL and its fragment."""

    plain: str  # without its fragment
    sha256: str | None = None
    subdirectory: str | None = None


def read_reference(report: Report, at: KeyPath, requirement: Requirement) -> PyPIDependency:
    """``name @ url``; a git repository is written as for pip (``git+https://…@rev#subdirectory=x``)."""
    url = requirement.url
    bare = msgspec.structs.replace(requirement, url="")
    if url.startswith("git+"):
        address = read_fragment(report, at, url.removeprefix("git+"))
        scheme, _, rest = address.plain.partition("://")
        host, slash, path = rest.partition("/")
        path, _, rev = path.partition("@")
        git = f"{scheme}://{host}{slash}{path}"
        if address.sha256 is not None:
            report.add(at, "a repository has no sha256", "name a commit after '@' instead")
        check_git(report, at, git, rev or None)
        return PyPIDependency(requirement=bare, at=at, git=git, rev=rev or None, subdirectory=address.subdirectory)
    if url.startswith(("hg+", "svn+", "bzr+")):
        report.add(at, f"{url.partition('+')[0]} repositories cannot be used", "use a git repository")
    elif url.startswith("file:") or "://" not in url:
        report.add(
            at,
            "the address of a file is valid on one machine only",
            f'write {{ name = "{requirement.name}", path = "…" }}, relative to the manifest',
        )
    elif mistake := url_mistake(url, WEB):
        report.add(at, *mistake)
    else:
        address = read_fragment(report, at, url)
        check_archive(report, at, address.plain)
        return PyPIDependency(
            requirement=msgspec.structs.replace(requirement, url=address.plain),
            at=at,
            sha256=address.sha256,
            subdirectory=address.subdirectory,
        )
    return PyPIDependency(requirement=requirement, at=at)


def read_fragment(report: Report, at: KeyPath, url: str) -> Address:
    """Read the fragment of a URL: ``sha256`` and ``subdirectory``. ``egg`` repeats the name and is ignored."""
    plain, _, fragment = url.partition("#")
    fields = dict(pair.partition("=")[::2] for pair in fragment.split("&") if pair)
    digest, subdirectory = fields.pop("sha256", None), fields.pop("subdirectory", None)
    fields.pop("egg", None)
    if fields:
        report.add(at, f"{sorted(fields)[0]!r} has no meaning after '#'", "only `sha256` and `subdirectory` are read")
    if subdirectory is not None:
        subdirectory = unquote(subdirectory)
        check_inside(report, at, "subdirectory", subdirectory)
    if digest is not None:
        try:
            digest = parse_sha256(digest.lower())
        except ValueError as error:
            report.add(at, str(error), "write all of its 64 hexadecimal digits")
    return Address(plain, digest, subdirectory)


def check_git(report: Report, at: KeyPath, git: str, rev: str | None, rev_at: KeyPath | None = None) -> None:
    """Report an address that is not valid for a git repository, and an invalid revision."""
    if mistake := git_mistake(git):
        report.add(at, *mistake)
    # git would read a leading dash as an option.
    if rev is not None and (not rev or rev.startswith("-") or re.search(r"[\s\x00-\x1f~^:?*\[\\]|\.\.", rev)):
        report.add(rev_at or at, f"{rev[:80]!r} is not a commit, tag or branch")


def check_archive(report: Report, at: KeyPath, url: str) -> None:
    """Report a URL whose last part names neither a wheel nor a source archive, since only that part shows the kind."""
    if not file_name_of(url).endswith((".whl", *SDIST_SUFFIXES)):
        report.add(
            at,
            "its last part is not the file name of a wheel or a source archive",
            f"it must end in .whl, {', '.join(SDIST_SUFFIXES)}; for a repository, use `git`",
        )


def file_name_of(address: str) -> str:
    """The name of the file or folder at a URL or path."""
    if "://" in address:
        address = unquote(address.partition("?")[0])
    return address.rstrip("/").rpartition("/")[2]


def project_name_of(address: str) -> str:
    """The name of the project at a URL or path, for a table without `name`; "" if the address does not contain it.

    It is taken from the file name of a wheel or sdist, or from the name of a folder. The metadata must agree with it.
    """
    last = file_name_of(address)
    if last.endswith(".whl"):
        return last.partition("-")[0]
    for suffix in SDIST_SUFFIXES:
        if last.endswith(suffix):
            return last.removesuffix(suffix).rpartition("-")[0]
    return "" if "://" in address or last in (".", "..") else last
