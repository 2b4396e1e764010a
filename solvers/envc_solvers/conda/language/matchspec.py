"""Match specs: sets of records of one package (conda documentation, "Package match specifications").

The form is ``channel/subdir::name version build [key=value, …]``; only the name is required. Notations that are not
supported (features, conditions, extras) are errors, because ignoring them would change the meaning.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from envc_solvers.conda.language.pattern import compile_pattern
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import parse_version
from envc_solvers.conda.language.versionspec import InvalidVersionSpec, VersionSpec, parse_version_spec

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
# Nine of ten specs in repodata have this form, which needs no special cases.
_PLAIN = re.compile(
    r"([a-z0-9_][a-z0-9_.-]*)"
    r"(?: ([0-9a-z_.*]+|(?:>=|<=|!=|>|<)[0-9a-z_.*]+(?:,(?:>=|<=|!=|>|<)[0-9a-z_.*]+)*)(?: ([A-Za-z0-9_.*]+))?)?"
).fullmatch
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,199}").fullmatch
_SPLIT = re.compile(r"([^ =<>!~\[]*)(.*)", re.DOTALL).fullmatch
_BRACKETS = re.compile(r"\[([^][]*)\]")
_PARENTHESES = re.compile(r"\((?:optional|target=)[^()]*\)$")  # annotations of conda that restrict nothing
_PAIR = re.compile(r"""\s*([a-z0-9_]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s,"']+))\s*(?:,|(?=\s)|$)""")
_GAPS = re.compile(r"\s*([,|])\s*|([=<>!~])\s+")
_GLUED_BUILD = re.compile(r"(.*[^=!|,<>~])=([^=,|<>~ ]+)").fullmatch
_NUMBER = re.compile(r"(==|!=|<=|>=|<|>|=)?\s*([0-9]{1,18})").fullmatch
_HEX = {"md5": re.compile(r"[0-9a-f]{32}").fullmatch, "sha256": re.compile(r"[0-9a-f]{64}").fullmatch}
_IGNORED = frozenset({"features", "target", "optional"})  # conda accepts these and ignores them
_KEYS = ("version", "build", "build_number", "channel", "subdir", "fn", "url", "md5", "sha256", "license")
_UNSUPPORTED = {
    "when": "conditional dependencies are not supported",
    "extras": "optional dependencies are not supported",
    "flags": "flags are not supported",
    "track_features": "features are not supported; name the package or build that carries them",
}


class InvalidMatchSpec(ValueError):
    """A text that is not a match spec, or that uses an unsupported notation."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.text[:200]!r} is not a match spec: {self.reason}"


class MatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A set of records of one package. A field that is None accepts everything."""

    name: str  # lower case
    version: VersionSpec | None = None
    build: str | None = None  # exact, a glob, or a regular expression from ^ to $
    build_number: str | None = None  # "3", ">=3"
    channel: str | None = None  # name, or URL without subdir and trailing slash; None also for "*"
    subdir: str | None = None
    file: str | None = None
    md5: str | None = None
    sha256: str | None = None
    license: str | None = None
    url: str | None = None  # of the file, without a fragment; redundant with channel, subdir and file

    def matches(self, record: Record) -> bool:
        return (
            record.name == self.name
            and (self.version is None or self.version.contains(parse_version(record.version)))
            and self.matches_besides_version(record)
        )

    def matches_besides_version(self, record: Record) -> bool:
        """Whether everything but name and version matches. For callers that found the versions by bisection."""
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
        """Whether it restricts only name, version and build."""
        return not (
            self.build_number or self.channel or self.subdir or self.file or self.sha256 or self.md5 or self.license
        )

    def __str__(self) -> str:
        """The canonical form, to which conda gives the same meaning."""
        text, brackets = self.name, []
        if self.channel:
            text = f"{self.channel}/{self.subdir}::{text}" if self.subdir else f"{self.channel}::{text}"
        elif self.subdir:
            brackets.append(f"subdir={self.subdir}")
        version = self.version.text if self.version is not None and not self.version.is_any else ""
        exact = False
        # After ==, a star is part of the version. Outside of brackets it would make a pattern.
        if (
            any(mark in version for mark in "><$^|,")
            or (version[:2] in ("!=", "~=") and self.build)
            or (version[:2] == "==" and "*" in version)
        ):
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
    """Parse a match spec. Raises InvalidMatchSpec."""
    if len(text) > _LONGEST:
        raise InvalidMatchSpec(text, f"it has more than {_LONGEST} characters")
    try:
        return _parse(text)
    except InvalidVersionSpec as error:
        raise InvalidMatchSpec(text, f"in its version, {error.text[:80]!r}: {error.reason}") from None
    except ValueError as error:
        raise InvalidMatchSpec(text, str(error)) from None


def _parse(text: str) -> MatchSpec:
    plain = _PLAIN(text)
    if plain is not None and not text.endswith(ARCHIVES):
        name, version, build = plain.groups()
        return MatchSpec(name=name, version=parse_version_spec(version) if version else None, build=_read_build(build))
    body = text.strip()
    if body.partition("#")[0].rstrip().endswith(ARCHIVES) and "[" not in body:
        return _parse_file(body)
    body = body.partition("#")[0].rstrip()  # the rest is a comment
    if body.endswith("@"):
        raise ValueError(_UNSUPPORTED["track_features"])
    if " if " in body or ";" in body:
        raise ValueError(_UNSUPPORTED["when"])
    match = _BRACKETS.search(body)
    fields = _read_pairs(match[1]) if match is not None else {}
    if match is not None:
        body = f"{body[: match.start()]}{body[match.end() :]}".rstrip()
    if "url" in fields:
        return _with_digests(_parse_file(fields["url"]), fields)
    place, _, rest = _PARENTHESES.sub("", body).rpartition("::")
    name, tail = _SPLIT(rest.strip()).groups()  # type: ignore[union-attr]  # it matches every text
    version, build = _read_version_and_build(tail)
    version = fields.get("version", version)
    channel, subdir = _read_place(place.strip())
    stated_channel, stated_subdir = _read_place(fields.get("channel", ""))
    channel = stated_channel or channel
    spec = MatchSpec(
        name=_read_name(name or fields.get("name", "")),
        version=parse_version_spec(version) if version else None,
        build=_read_build(fields.get("build", build)),
        build_number=_read_number(fields.get("build_number")),
        channel=channel if channel != "*" else None,
        subdir=fields.get("subdir") or stated_subdir or subdir,
        file=fields.get("fn"),
        license=fields.get("license"),
    )
    return _with_digests(spec, fields)


def _read_pairs(text: str) -> dict[str, str]:
    """Parse the content of brackets: ``key=value`` pairs, separated by commas or white space."""
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
            raise ValueError(f"no spec can match by {key!r}")
        fields[key] = next((value for value in match.groups()[1:] if value is not None), "").strip()
        if not fields[key] and key in _KEYS:
            raise ValueError(f"its {key} is empty")
        at = match.end()
    return fields


def _read_name(name: str) -> str:
    lower = name.lower()
    if "*" in lower or lower.startswith("^"):
        raise ValueError("it needs the name of one package; patterns of names are not supported")
    if not _NAME(lower):
        raise ValueError(f"{name[:80]!r} is not the name of a package" if name else "it names no package")
    return lower


def _read_version_and_build(tail: str) -> tuple[str, str | None]:
    """Parse the version spec and the build after a name: ``=1.8=py27_0``, `` >=1.8,<2 py27_0``, ``==1.8``."""
    words = _GAPS.sub(lambda match: match[1] or match[2], tail).split()
    if len(words) > 2:
        raise ValueError(f"only a version and a build may follow the name, but {words[2][:80]!r} is left over")
    version = words[0] if words else ""
    build = words[1].removeprefix("=") if len(words) == 2 else None
    if build is None and (glued := _GLUED_BUILD(version)):
        version, build = glued.groups()
    if version == "==" or (len(words) == 2 and not build):
        raise ValueError(f"{words[-1]!r} is an operator without a version or build")
    if version == "=":
        return "", build
    # "=1.7" means 1.7.*, but "=1.7=py27_0" means exactly 1.7: it is conda's notation for a version with its build.
    if version.startswith("=") and build and not any(mark in version[1:] for mark in "=,|"):
        version = version[1:]
    elif version.startswith("==") and not build and not any(mark in version[2:] for mark in "=,|"):
        version = version[2:]
    elif version.startswith("=") and not any(mark in version[1:] for mark in "=,|"):
        version = version[1:] if version.endswith("*") else version[1:] + "*"
    return version, build


def _read_place(place: str) -> tuple[str | None, str | None]:
    """Channel and subdir of ``conda-forge/linux-64``; either may be None."""
    # A namespace between two colons is ignored, as in conda. The colons of a URL do not count.
    if "://" not in place:
        place = place.partition(":")[0]
    place = place.rstrip("/")
    channel, _, last = place.rpartition("/")
    return (channel, last) if last in SUBDIRS and channel else (place or None, None)


def _read_build(build: str | None) -> str | None:
    if not build or build == "*":
        return None
    compile_pattern(build)
    return build


def _read_number(number: str | None) -> str | None:
    if number is None:
        return None
    if _NUMBER(number) is None:
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
    """Parse the spec of one file: a URL or a path, with ``#md5`` or ``#sha256:…`` as in explicit lock files."""
    url, _, digest = text.partition("#")
    folder, _, file = url.rstrip().rpartition("/")
    stem = next((file.removesuffix(ending) for ending in ARCHIVES if file.endswith(ending)), "")
    parts = stem.rsplit("-", 2)
    if len(parts) != 3:
        raise ValueError("the file name is not of the form name-version-build.conda or .tar.bz2")
    channel, subdir = _read_place(folder)
    key, _, value = digest.strip().rpartition(":")
    return _with_digests(
        MatchSpec(
            name=_read_name(parts[0]),
            version=parse_version_spec(f"=={parts[1]}"),
            build=_read_build(parts[2]),
            channel=channel if subdir else None,
            subdir=subdir,
            file=file,
            url=url.rstrip() if "://" in url else None,
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
