"""dump: renders a lock graph as text, always the same for the same graph.

The text is meant for review and for merging. Lists that grow with the project have one item on each line, the lines of
an unchanged package never change, and nothing depends on the order in which things were found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from envc.model.graph import (
    Artifact,
    Build,
    BuildRequirement,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
    target_name_of,
)
from envc.model.lock_lines import LockedInput
from envc.model.reason import plain_reason

_Value = TypeVar("_Value", LockedEnvironment, Package, Artifact, Build)
HEADER = """\
# Made by envc from the manifest beside it. To change it, change the manifest and run `envc lock`.
"""
_WIDTH = 118  # a short array is broken into lines if its line would be longer
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPECIAL = re.compile(r'[\x00-\x1f\x7f"\\]')
_LITERAL = re.compile(r"[^\x00-\x1f\x7f']*")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
# Options in the order of the file; others follow by name. Each of these is written on one line. Every other array or
# table may grow, so it is broken into lines.
_OPTIONS = ("targets", "channels", "indexes", "exclude-newer")
_ONE_LINE = frozenset(_OPTIONS)


def canonical(graph: LockGraph) -> LockGraph:
    """The same graph with every set sorted and free of duplicates. `dumps` writes this form, `loads` returns it.

    Addresses are removed from licences and from the reasons of yanked files. A lock has only those of the manifest.
    """
    return LockGraph(
        version=graph.version,
        options=graph.options,
        environments=_in_order(map(_canonical_environment, graph.environments), lambda each: each.steps),
        packages=_in_order(map(_canonical_package, graph.packages), lambda each: (each.kind, each.name, each.id)),
        builds=_without_duplicates(
            _in_order(map(_canonical_build, graph.builds), lambda each: (each.wheel, each.sha256, each.identity))
        ),
    )


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


def _canonical_environment(environment: LockedEnvironment) -> LockedEnvironment:
    return msgspec.structs.replace(
        environment,
        steps=_sorted_set(environment.steps),
        targets=_sorted_set(environment.targets),
        requires=_canonical_inputs(environment),
        packages=tuple(sorted(set(map(_canonical_ref, environment.packages)))),
    )


def _canonical_inputs(environment: LockedEnvironment) -> tuple[LockedInput, ...]:
    inputs = set(environment.requires)
    ambiguous = [one for one in inputs if " @ " in one.line]
    if ambiguous:
        known = set(map(target_name_of, environment.targets))
        inputs = inputs.difference(ambiguous).union(LockedInput.read(one.line, known) for one in ambiguous)
    return tuple(sorted(inputs, key=attrgetter("line")))


def _canonical_ref(ref: PackageRef) -> PackageRef:
    return PackageRef(ref.id, _sorted_set(ref.targets)) if len(ref.targets) > 1 else ref


def _canonical_package(package: Package) -> Package:
    return msgspec.structs.replace(
        package,
        license="" if "://" in package.license else package.license,
        pypi=_sorted_set(package.pypi),
        depends=_sorted_set(package.depends),
        artifacts=_without_duplicates(
            _in_order(map(_canonical_artifact, package.artifacts), lambda each: (each.file, each.sha256))
        ),
    )


def _canonical_artifact(artifact: Artifact) -> Artifact:
    return msgspec.structs.replace(
        artifact,
        targets=_sorted_set(artifact.targets),
        depends=None if artifact.depends is None else _sorted_set(artifact.depends),
        content=dict(sorted(artifact.content.items())),
        yanked=_canonical_yanked(artifact.yanked),
    )


def _canonical_build(build: Build) -> Build:
    packages = {msgspec.structs.replace(one, yanked=_canonical_yanked(one.yanked)) for one in build.packages}
    return msgspec.structs.replace(
        build, requires=_sorted_set(build.requires), packages=tuple(sorted(packages, key=msgspec.json.encode))
    )


def _canonical_yanked(reason: str | None) -> str | None:
    return None if reason is None else plain_reason(reason)


def _sorted_set(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(values))) if len(values) > 1 else values


def _in_order(values: Iterable[_Value], key: Callable[[_Value], tuple[Any, ...]]) -> tuple[_Value, ...]:
    """Sort values by key. If a merge has left two with the same key, all their fields decide."""
    ordered = sorted(values, key=key)
    if any(key(left) == key(right) for left, right in pairwise(ordered)):
        ordered.sort(key=lambda value: (key(value), msgspec.json.encode(value)))
    return tuple(ordered)


def _without_duplicates(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    return values[:1] + tuple(right for left, right in pairwise(values) if left != right)


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
    if environment.interpreter:
        text += f"interpreter = {_dump_string(environment.interpreter)}\n"
    text += _pair_of_lines("requires", (_dump_string(one.line) for one in environment.requires))
    text += _pair_of_lines("packages", (_dump_string(render_ref(ref)) for ref in environment.packages))
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
    if _SPECIAL.search(text) is None:
        return f'"{text}"'
    if _LITERAL.fullmatch(text):
        return f"'{text}'"  # markers hold double quotes, and read better without backslashes
    return f'"{_SPECIAL.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"
