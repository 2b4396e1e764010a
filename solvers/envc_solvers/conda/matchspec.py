"""Match specs: which records of a package somebody accepts (conda documentation, "Package match specifications").

``channel/subdir::name version build [key=value, …]`` with all but the name optional. Notations that mean something else
than they seem to (features, conditions, extras) are refused rather than read as if they were not there.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from envc_solvers.conda.pattern import compile_pattern
from envc_solvers.conda.record import Record
from envc_solvers.conda.version import parse_version
from envc_solvers.conda.versionspec import InvalidVersionSpec, VersionSpec, parse_version_spec

SUBDIRS = frozenset(
    (
        "noarch",
        "emscripten-wasm32",
        "freebsd-64",
        "linux-32",
        "linux-64",
        "linux-aarch64",
        "linux-armv6l",
        "linux-armv7l",
        "linux-ppc64",
        "linux-ppc64le",
        "linux-riscv32",
        "linux-riscv64",
        "linux-s390x",
        "osx-64",
        "osx-arm64",
        "wasi-wasm32",
        "win-32",
        "win-64",
        "win-arm64",
        "zos-z",
    )
)
ARCHIVES = (".conda", ".tar.bz2")

_LONGEST = 8192  # characters
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,199}").fullmatch
_SPLIT = re.compile(r"([^ =<>!~\[]*)(.*)", re.DOTALL).fullmatch
_BRACKETS = re.compile(r"\[([^][]*)\]")
_PARENTHESES = re.compile(r"\(([^()]*)\)$")
_PAIR = re.compile(r"""\s*([a-z0-9_]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s,"']+))\s*(?:,|(?=\s)|$)""")
_GAPS = re.compile(r"\s*([,|])\s*|([=<>!~])\s+")
_GLUED_BUILD = re.compile(r"(.*[^=!|,<>~])=([^=,|<>~ ]+)").fullmatch
_NUMBER = re.compile(r"(==|!=|<=|>=|<|>|=)?\s*([0-9]{1,18})").fullmatch
_HEX = {"md5": re.compile(r"[0-9a-f]{32}").fullmatch, "sha256": re.compile(r"[0-9a-f]{64}").fullmatch}
_IGNORED = frozenset({"features", "target", "optional"})  # conda reads these and matches nothing by them
_KEYS = ("version", "build", "build_number", "channel", "subdir", "fn", "url", "md5", "sha256", "license")
_UNSUPPORTED = {
    "when": "conditional dependencies are not supported",
    "extras": "optional dependencies are not supported",
    "flags": "flags are not supported",
    "track_features": "features are not supported; name the package or build that carries them",
}


class InvalidMatchSpec(ValueError):
    """A text that is no match spec, or one that envc refuses."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.text[:200]!r} is not a match spec: {self.reason}"


class MatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which records of one package are accepted. A field that is None or "" accepts everything."""

    name: str  # lower case
    version: VersionSpec | None = None
    build: str = ""  # exact, a glob, or a regular expression from ^ to $
    build_number: str = ""  # "3", ">=3"
    channel: str = ""  # name, or URL without subdir and trailing slash; "" also for "*"
    subdir: str = ""
    file: str = ""
    md5: str = ""
    sha256: str = ""
    license: str = ""
    url: str = ""  # of the file, without a fragment; says the same as channel, subdir and file

    def matches(self, record: Record) -> bool:
        return (
            record.name == self.name
            and (self.version is None or self.version.contains(parse_version(record.version)))
            and self.matches_besides_version(record)
        )

    def matches_besides_version(self, record: Record) -> bool:
        """Whether build, build number, place and digests fit; for callers that found the versions by bisection."""
        return (
            (not self.build or compile_pattern(self.build)(record.build))
            and (not self.build_number or _number_fits(self.build_number, record.build_number))
            and (not self.channel or self.channel == record.channel)
            and (not self.subdir or self.subdir == record.subdir)
            and (not self.file or self.file == record.file)
            and (not self.sha256 or self.sha256 == record.sha256)
            and (not self.md5 or self.md5 == record.md5)
            and (not self.license or self.license == record.license)
        )

    @property
    def is_simple(self) -> bool:
        """Whether name, version and build are all that it looks at."""
        return not (
            self.build_number or self.channel or self.subdir or self.file or self.sha256 or self.md5 or self.license
        )

    def __str__(self) -> str:
        """The canonical form, which conda reads the same way."""
        text, brackets = self.name, []
        if self.channel:
            text = f"{self.channel}/{self.subdir}::{text}" if self.subdir else f"{self.channel}::{text}"
        elif self.subdir:
            brackets.append(f"subdir={self.subdir}")
        version = self.version.text if self.version is not None and not self.version.is_any else ""
        exact = False
        if any(mark in version for mark in "><$^|,") or (version[:2] in ("!=", "~=") and self.build):
            brackets.append(f"version='{version}'")
        elif version[:2] in ("!=", "~="):
            text += version
        elif version.endswith("*") and "*" not in version[:-1]:
            text += "=" + version.removesuffix("*").removesuffix(".").lstrip("=")
        elif version.startswith("=") and version[1:2] != "=":
            text += version
        elif version:
            text += "==" + version.removeprefix("==")
            exact = "*" not in version
        if self.build and exact and not any(mark in self.build for mark in "*><$^|,"):
            text += "=" + self.build
        elif self.build:
            brackets.append(f"build={_quoted(self.build)}")
        for key in ("build_number", "md5", "sha256", "license"):
            value = getattr(self, key)
            if value:
                brackets.append(f"{key}={_quoted(value)}")
        if self.file:
            brackets.append(f"fn={_quoted(self.file)}")
        return f"{text}[{','.join(brackets)}]" if brackets else text


@lru_cache(maxsize=1 << 16)
def parse_matchspec(text: str) -> MatchSpec:
    """Read a match spec. Raises InvalidMatchSpec."""
    if len(text) > _LONGEST:
        raise InvalidMatchSpec(text, f"it has more than {_LONGEST} characters")
    try:
        return _parse(text)
    except InvalidVersionSpec as error:
        raise InvalidMatchSpec(text, f"in its version, {error.text[:80]!r}: {error.reason}") from None
    except ValueError as error:
        raise InvalidMatchSpec(text, str(error)) from None


def _parse(text: str) -> MatchSpec:
    body = text.strip()
    if body.partition("#")[0].rstrip().endswith(ARCHIVES) and "[" not in body:
        return _parse_file(body)
    if "#" in body:
        body = body.partition("#")[0].rstrip()  # a comment
    if body.endswith("@"):
        raise ValueError(_UNSUPPORTED["track_features"])
    if " if " in body or ";" in body:
        raise ValueError(_UNSUPPORTED["when"])
    fields: dict[str, str] = {}
    match = _BRACKETS.search(body)
    if match is not None:
        fields = _read_pairs(match[1])
        body = body[: match.start()] + body[match.end() :]
    body = _PARENTHESES.sub("", body.strip()) if body.rstrip().endswith(")") and "(target=" in body else body
    place, _, rest = body.rpartition("::")
    split = _SPLIT(rest.strip())
    name, tail = (split[1], split[2]) if split is not None else ("", "")
    version, build = _read_version_and_build(tail)
    channel, subdir = _read_place(place.strip())
    if "channel" in fields:
        stated, stated_subdir = _read_place(fields["channel"])
        channel, subdir = stated or channel, stated_subdir or subdir
    if fields.get("url"):
        return _with_digests(_parse_file(fields["url"]), fields)
    version = fields.get("version", version)
    return _with_digests(
        MatchSpec(
            name=_read_name(name or fields.get("name", "")),
            version=parse_version_spec(version) if version else None,
            build=_read_build(fields.get("build", build)),
            build_number=_read_number(fields.get("build_number", "")),
            channel="" if channel == "*" else channel,
            subdir=fields.get("subdir", subdir),
            file=fields.get("fn", ""),
            license=fields.get("license", ""),
        ),
        fields,
    )


def _read_pairs(text: str) -> dict[str, str]:
    """What stands in brackets: ``key=value`` pairs between commas or white space."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(text) and text[at:].strip():
        match = _PAIR.match(text, at)
        if match is None:
            raise ValueError(f"[{text}] does not hold key=value pairs")
        key = match[1]
        if key in _UNSUPPORTED:
            raise ValueError(_UNSUPPORTED[key])
        if key not in _KEYS and key != "name" and key not in _IGNORED:
            raise ValueError(f"nothing can be matched by {key!r}")
        fields[key] = next((value for value in match.groups()[1:] if value is not None), "").strip()
        at = match.end()
    return fields


def _read_name(name: str) -> str:
    lower = name.lower()
    if "*" in lower or lower.startswith("^"):
        raise ValueError("it needs the name of one package; patterns of names are not supported")
    if not _NAME(lower):
        raise ValueError(f"{name[:80]!r} is not the name of a package" if name else "it names no package")
    return lower


def _read_version_and_build(tail: str) -> tuple[str, str]:
    """The version spec and the build in what follows a name: ``=1.8=py27_0``, `` >=1.8,<2 py27_0``, ``==1.8``."""
    words = _GAPS.sub(lambda match: match[1] or match[2], tail).split()
    if len(words) > 2:
        raise ValueError(f"a version and a build may follow the name, and {words[2][:80]!r} is one more")
    version, build = (*words, "", "")[:2]
    glued = _GLUED_BUILD(version) if not build else None
    if glued is not None:
        version, build = glued.groups()
    elif build.startswith("="):
        build = build[1:]
    if version == "=":
        return "", build
    # "=1.7" means 1.7.*, but "=1.7=py27_0" means just 1.7: conda's notation of a version with its build.
    if version.startswith("=") and build and not any(mark in version[1:] for mark in "=,|"):
        version = version[1:]
    elif version.startswith("==") and not build and not any(mark in version[2:] for mark in "=,|"):
        version = version[2:]
    elif version.startswith("=") and not any(mark in version[1:] for mark in "=,|"):
        version = version[1:] if version.endswith("*") else version[1:] + "*"
    return version, build


def _read_place(place: str) -> tuple[str, str]:
    """Channel and subdir of ``conda-forge/linux-64``; either may be ""."""
    # A namespace may stand between two colons and is ignored, as conda does; a URL has colons of its own.
    if "://" not in place:
        place = place.partition(":")[0]
    place = place.rstrip("/")
    channel, _, last = place.rpartition("/")
    return (channel, last) if last in SUBDIRS and channel else (place, "")


def _read_build(build: str) -> str:
    compile_pattern(build)
    return "" if build == "*" else build


def _read_number(number: str) -> str:
    if number and _NUMBER(number) is None:
        raise ValueError(f"{number[:80]!r} is not a comparison of build numbers")
    return "".join(number.split())


@lru_cache(maxsize=1 << 10)
def _number(spec: str) -> tuple[str, int]:
    match = _NUMBER(spec)
    assert match is not None, "read by _read_number"
    return match[1] or "==", int(match[2])


def _number_fits(spec: str, number: int) -> bool:
    operator, other = _number(spec)
    match operator:
        case "!=":
            return number != other
        case "<":
            return number < other
        case "<=":
            return number <= other
        case ">":
            return number > other
        case ">=":
            return number >= other
        case _:
            return number == other


def _parse_file(text: str) -> MatchSpec:
    """The spec of one file: a URL or a path, with ``#md5`` or ``#sha256:…`` as explicit lock files write them."""
    url, _, digest = text.partition("#")
    folder, _, file = url.rstrip().rpartition("/")
    stem = next((file.removesuffix(ending) for ending in ARCHIVES if file.endswith(ending)), "")
    parts = stem.rsplit("-", 2)
    if len(parts) != 3:
        raise ValueError("a package file is called name-version-build.conda or .tar.bz2")
    channel, subdir = _read_place(folder)
    key, _, value = digest.strip().rpartition(":")
    return _with_digests(
        MatchSpec(
            name=_read_name(parts[0]),
            version=parse_version_spec(f"=={parts[1]}"),
            build=_read_build(parts[2]),
            channel=channel if subdir else "",
            subdir=subdir,
            file=file,
            url=url.rstrip() if "://" in url else "",
        ),
        {key or "md5": value} if value else {},
    )


def _with_digests(spec: MatchSpec, fields: dict[str, str]) -> MatchSpec:
    digests = {}
    for key, is_hex in _HEX.items():
        value = fields.get(key, "").lower()
        if value and not is_hex(value):
            raise ValueError(f"{value[:80]!r} is not a digest of kind {key}")
        if value:
            digests[key] = value
    return msgspec.structs.replace(spec, **digests) if digests else spec


def _quoted(value: str) -> str:
    return f"'{value}'" if any(mark in value for mark in "><$^|, =") else value
