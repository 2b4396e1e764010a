"""dump: renders a lock graph as text, always the same for the same graph.

The text is meant for review and for merging. Lists that grow with the project have one item on each line, the lines of
an unchanged package never change, and nothing depends on the order in which things were found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from envc.locking.lockfile.canonical import canonical
from envc.model.graph import (
    Artifact,
    Build,
    BuildRequirement,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
)
from envc.model.hidden import HIDDEN

HEADER = """\
# Made by envc from the manifest beside it. To change it, change the manifest and run `envc lock`.
"""
_WIDTH = 118  # a short array is broken into lines if its line would be longer
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# Hidden characters are escaped as well as those that TOML demands, so that a review sees what a lock says. In ASCII the
# two are the same, and few texts need the large sets of the others.
_SPECIAL = re.compile(r'[\x00-\x1f\x7f"\\]')
_LITERAL = re.compile(r"[^\x00-\x1f\x7f']*")
_ANY_SPECIAL = rf'[{HIDDEN}"\\]'
_ANY_LITERAL = rf"[^{HIDDEN}']*"
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
# Options in the order of the file; others follow by name. Each of these is written on one line. Every other array or
# table may grow, so it is broken into lines.
_OPTIONS = ("targets", "channels", "indexes", "exclude-newer")
_ONE_LINE = frozenset(_OPTIONS)


def dumps(graph: LockGraph) -> str:
    """The text of a lock file. Equal graphs give equal text, in whatever order their items are.

    Raises TypeError if an option is not a plain TOML value.
    """
    graph = canonical(graph)
    parts = [HEADER, f"version = {graph.version}\n"]
    if graph.options:
        parts.append("\n" + _dump_options(graph.options))
    parts += ["\n" + _dump_environment(environment) for environment in graph.environments]
    parts += ["\n" + _dump_package(package) for package in graph.packages]
    parts += ["\n" + _dump_build(build) for build in graph.builds]
    return "".join(parts)


def render_ref(ref: PackageRef) -> str:
    """A package of an environment as one line: ``pypi:torch`` or ``pypi:colorama @ win-64``."""
    return f"{ref.id} @ {', '.join(ref.targets)}" if ref.targets else ref.id


def _dump_options(options: Mapping[str, object]) -> str:
    """Options, each on its own line. Tables that may grow come last, as TOML requires."""
    named = [key for key in _OPTIONS if key in options]
    keys = named + sorted(options.keys() - set(named))
    tables = [key for key in keys if key not in _ONE_LINE and isinstance(options[key], Mapping)]
    text = "[options]\n"
    for key in keys:
        if key in tables:
            continue
        value = options[key]
        if isinstance(value, list | tuple) and key not in _ONE_LINE:
            text += _pair_of_lines(key, map(_dump_value, value))
        else:
            text += f"{_dump_key(key)} = {_dump_value(value)}\n"
    for key in tables:
        text += f"\n[options.{_dump_key(key)}]\n"
        text += "".join(f"{_dump_key(name)} = {_dump_value(value)}\n" for name, value in _items(options[key]))
    return text


def _dump_environment(environment: LockedEnvironment) -> str:
    text = "[[environment]]\n"
    text += _pair_of_strings("steps", environment.steps)
    text += _pair_of_strings("targets", environment.targets)
    if environment.python:
        text += f"python = {_dump_string(environment.python)}\n"
    if environment.python_from:
        text += _pair_of_strings("python-from", (one.line for one in environment.python_from))
    if environment.interpreter:
        text += f"interpreter = {_dump_string(environment.interpreter)}\n"
    text += _pair_of_lines("requires", (_dump_string(one.line) for one in environment.requires))
    text += _pair_of_lines("packages", (_dump_string(render_ref(ref)) for ref in environment.packages))
    if environment.passed_over:
        text += _pair_of_lines("passed-over", (_dump_string(one.line) for one in environment.passed_over))
    return text


def _dump_package(package: Package) -> str:
    text = f"[[package]]\nid = {_dump_string(package.id)}\nversion = {_dump_string(package.version)}\n"
    if package.build:
        text += f"build = {_dump_string(package.build)}\n"
    text += f"source = {_dump_string(package.source)}\n"
    if package.released is not None:
        text += f"released = {package.released.isoformat()}\n"
    if package.license:
        text += f"license = {_dump_string(package.license)}\n"
    if package.pypi:
        text += _pair_of_strings("pypi", package.pypi)
    if package.depends:
        text += _pair_of_strings("depends", package.depends)
    return text + _pair_of_lines("artifacts", map(_dump_artifact, package.artifacts))


def _dump_artifact(artifact: Artifact) -> str:
    text = f"{{ {_dump_file(artifact.file, artifact.size, artifact.sha256)}"
    if artifact.targets:
        text += f", for = {_dump_strings(artifact.targets)}"
    if artifact.depends is not None:
        text += f", depends = {_dump_strings(artifact.depends)}"
    if artifact.noarch:
        text += f", noarch = {_dump_string(artifact.noarch)}"
    if artifact.site_packages:
        text += f", site-packages = {_dump_string(artifact.site_packages)}"
    text += _dump_yanked(artifact.yanked)
    if artifact.content:
        text += f", content = {_dump_value(artifact.content)}"
    return text + " }"


def _dump_build(build: Build) -> str:
    text = f"[[build]]\nwheel = {_dump_string(build.wheel)}\nsha256 = {_dump_string(build.sha256)}\n"
    if build.commit:
        text += f"commit = {_dump_string(build.commit)}\n"
    if build.tree:
        text += f"tree = {_dump_string(build.tree)}\n"
    if build.sdist is not None:
        text += f"sdist = {{ {_dump_file(build.sdist.file, build.sdist.size, build.sdist.sha256)} }}\n"
    text += f"python = {_dump_string(build.python)}\n"
    text += _pair_of_strings("requires", build.requires)
    for key, lines in (("added", build.added), ("constraints", build.constraints)):
        if lines:
            text += _pair_of_strings(key, lines)
    return text + _pair_of_lines("packages", map(_dump_build_requirement, build.packages))


def _dump_build_requirement(one: BuildRequirement) -> str:
    named = f"name = {_dump_string(one.name)}, version = {_dump_string(one.version)}"
    file = _dump_file(one.file, one.size, one.sha256)
    return f"{{ {named}, source = {_dump_string(one.source)}, {file}{_dump_yanked(one.yanked)} }}"


def _dump_yanked(reason: str | None) -> str:
    return "" if reason is None else f", yanked = {_dump_string(reason)}"


def _dump_file(file: str, size: int, sha256: str) -> str:
    stated = f", size = {size}" if size else ""
    return f"file = {_dump_string(file)}{stated}, sha256 = {_dump_string(sha256)}"


def _pair_of_strings(key: str, values: Iterable[str]) -> str:
    """A short array on one line, or one item on each line if that would be too long."""
    items = [_dump_string(value) for value in values]
    line = f"{key} = [{', '.join(items)}]\n"
    return line if len(line) <= _WIDTH else _pair_of_lines(key, items)


def _pair_of_lines(key: str, items: Iterable[str]) -> str:
    lines = "".join(f"  {item},\n" for item in items)
    return f"{_dump_key(key)} = [\n{lines}]\n" if lines else f"{_dump_key(key)} = []\n"


def _dump_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _dump_string(value)
        case int() | float():
            return repr(value)
        case datetime() | date():
            return value.isoformat()
        case list() | tuple():
            return f"[{', '.join(map(_dump_value, value))}]"
        case Mapping():
            items = ", ".join(f"{_dump_key(key)} = {_dump_value(item)}" for key, item in _items(value))
            return f"{{ {items} }}" if items else "{}"
        case _:
            raise TypeError(f"{value!r} is not a TOML value")


def _items(table: object) -> list[tuple[str, object]]:
    return sorted(table.items()) if isinstance(table, Mapping) else []


def _dump_strings(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_dump_string, values))}]"


def _dump_key(key: str) -> str:
    # "py3.11-posix" must be quoted, because a bare dot would start a table.
    return key if _BARE.fullmatch(key) else _dump_string(key)


def _dump_string(text: str) -> str:
    special, literal = (_SPECIAL, _LITERAL) if text.isascii() else (re.compile(_ANY_SPECIAL), re.compile(_ANY_LITERAL))
    if special.search(text) is None:
        return f'"{text}"'
    if literal.fullmatch(text):
        return f"'{text}'"  # markers hold double quotes, and read better without backslashes
    return f'"{special.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _ESCAPES.get(character) or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")
