"""Requirements: strings and tables of the manifest as typed dependencies.

packaging's parsers are imported by the functions that need them. An ordinary manifest with a fresh lock needs none.
"""

from __future__ import annotations

import re

from envc.fetch.net.urls import redact, url_mistake
from envc.locking.manifest.direct import (
    WEB,
    Address,
    check_archive,
    check_git,
    project_name_of,
    read_fragment,
    read_reference,
)
from envc.locking.manifest.document import CondaTable, DependencyTable, PyPITable
from envc.locking.manifest.names import read_project_name
from envc.locking.manifest.paths import check_inside, path_mistake
from envc.locking.manifest.report import Report
from envc.locking.manifest.sources import SourceNames
from envc.model.manifest import CondaDependency, Dependencies, KeyPath, PyPIDependency
from envc_solvers.origin import render_key_path
from envc_solvers.pypi.language import requirement as requirements
from envc_solvers.pypi.language.requirement import Requirement

_CONDA = r"(?:(?P<channel>[^\s:\[\]]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?P<rest>(?:[\s=<>!~\[].*)?)"


def read_dependencies(report: Report, at: KeyPath, table: DependencyTable, sources: SourceNames) -> Dependencies:
    """The requirements of one table, in its order. Those that cannot be parsed are reported and left out."""
    pypi = (read_pypi(report, (*at, "pypi", index), entry, sources) for index, entry in enumerate(table.pypi))
    conda = (read_conda(report, (*at, "conda", index), entry, sources) for index, entry in enumerate(table.conda))
    return Dependencies(
        pypi=tuple(dependency for dependency in pypi if dependency is not None),
        conda=tuple(dependency for dependency in conda if dependency is not None),
    )


def read_pypi(report: Report, at: KeyPath, entry: str | PyPITable, sources: SourceNames) -> PyPIDependency | None:
    """One PyPI requirement; None if its text cannot be parsed."""
    if isinstance(entry, PyPITable):
        return _read_table(report, at, entry, sources)
    try:
        requirement = requirements.parse(entry)
    except requirements.InvalidRequirement as error:  # an attribute of the module, which imports it on access
        report.add(at, f"not a PEP 508 requirement: {_shown(entry, str(error))}", _correction(entry))
        return None
    _check_marker(report, at, requirement.marker)
    return (
        read_reference(report, at, requirement) if requirement.url else PyPIDependency(requirement=requirement, at=at)
    )


def _shown(entry: str, message: str) -> str:
    """packaging's message, whose last lines point at the mistake; only its first line if the others show a secret."""
    return message if redact(message) == message else message.partition("\n")[0] or repr(entry)


def _correction(entry: str) -> str | None:
    """The correction of a common mistake."""
    text = entry.strip()
    match = re.fullmatch(r"([A-Za-z0-9._-]+(?:\[[^\]]*\])?)\s*(\^|~|=|@)?\s*v?(\d[\w.]*)", text)
    if match is not None:
        operator = {"^": ">=", "~": "~="}.get(match[2] or "", "==")
        return f'did you mean "{match[1]}{operator}{match[3]}"?'
    if text.startswith(("./", "../", "/")) or text in (".", ".."):
        return f'write {{ name = "…", path = "{text}" }}'
    if re.match(r"(git\+)?(https?|ssh|git)://", text):
        return f'put the name first: "name @ {text}"'
    return None


def _check_marker(report: Report, at: KeyPath, marker: str) -> None:
    if "extra" in marker and re.search(r"\bextras?\b", re.sub(r"\"[^\"]*\"|'[^']*'", "", marker)):
        report.add(at, "a marker in a manifest cannot test for an extra", "a manifest has no extras")


def _read_table(report: Report, at: KeyPath, table: PyPITable, sources: SourceNames) -> PyPIDependency:
    direct = [key for key in ("path", "url", "git") if getattr(table, key) is not None]
    if len(direct) > 1:
        report.add((*at, direct[1]), f"`{direct[0]}` already gives its location", "keep one of them")
    if direct and table.source is not None:
        report.add((*at, "source"), f"`{direct[0]}` already gives its location", "keep one of them")
    if direct and table.version:
        report.add((*at, "version"), f"a project at a `{direct[0]}` has only one version", "remove `version`")
    for key, hosts in (("rev", ("git",)), ("subdirectory", ("git", "url")), ("editable", ("path",))):
        if getattr(table, key) and not set(hosts) & set(direct):
            report.add((*at, key), f"`{key}` has no effect without {' or '.join(f'`{host}`' for host in hosts)}")
    if table.path is not None and (mistake := path_mistake(table.path)):
        report.add((*at, "path"), *mistake)
    address = Address("")
    if table.url is not None:
        if mistake := url_mistake(table.url, WEB):
            report.add((*at, "url"), *mistake)
        else:
            address = read_fragment(report, (*at, "url"), table.url)
            check_archive(report, (*at, "url"), address.plain)
    if table.git is not None:
        check_git(report, (*at, "git"), table.git, table.rev, (*at, "rev"))
    if table.subdirectory is not None:
        check_inside(report, (*at, "subdirectory"), "subdirectory", table.subdirectory)
    if table.source is not None:
        sources.check(report, (*at, "source"), table.source, "pypi")
    return PyPIDependency(
        requirement=Requirement(
            name=_read_name(report, at, table),
            specifier=_read_version(report, (*at, "version"), table.version),
            extras=tuple(
                sorted({read_project_name(report, (*at, "extras", i), extra) for i, extra in enumerate(table.extras)})
            ),
            marker=_read_marker(report, (*at, "marker"), table.marker),
            url=address.plain,
        ),
        at=at,
        source=table.source,
        path=table.path,
        git=table.git,
        rev=table.rev,
        subdirectory=table.subdirectory or address.subdirectory,
        sha256=address.sha256,
        editable=table.editable,
    )


def _read_name(report: Report, at: KeyPath, table: PyPITable) -> str:
    """The name in the table, else the one at the end of its path or URL."""
    if table.name:
        return read_project_name(report, (*at, "name"), table.name)
    name = project_name_of((table.url or "").partition("#")[0] or table.path or "")
    if not name:
        report.add(at, "lacks `name`")
        return ""
    return read_project_name(report, at, name)


def _read_version(report: Report, at: KeyPath, version: str) -> str:
    try:
        return requirements.canonical_specifier(version)
    except requirements.InvalidSpecifier:
        text = version.strip()
        if text == "*":
            suggestion = "leave `version` out to allow every version"
        elif re.fullmatch(r"[v^=]?\s*\d[\w.]*", text):
            suggestion = f'did you mean "{">=" if text[0] == "^" else "=="}{text.lstrip("v^= ")}"?'
        else:
            suggestion = 'for example, write ">=2.1,<3"'
        report.add(at, f"{version[:80]!r} is not a PEP 440 specifier", suggestion)
        return ""


def _read_marker(report: Report, at: KeyPath, marker: str) -> str:
    if not marker:
        return ""
    try:
        text = requirements.canonical_marker(marker)
    except requirements.InvalidMarker as error:
        report.add(at, f"not a PEP 508 marker: {error}")
        return ""
    _check_marker(report, at, text)
    return text


def read_conda(report: Report, at: KeyPath, entry: str | CondaTable, sources: SourceNames) -> CondaDependency | None:
    """One MatchSpec, checked as far as possible without conda's grammar; None if it is invalid."""
    if isinstance(entry, CondaTable):
        if entry.source is not None:
            sources.check(report, (*at, "source"), entry.source, "conda")
        if entry.build and not entry.version:
            report.add((*at, "build"), "`build` needs a `version`", 'write version = "*" to allow all')
        channel = f"{entry.source}::" if entry.source else ""
        text = " ".join(part for part in (f"{channel}{entry.name}", _dense(entry.version), entry.build) if part)
        at_name: KeyPath = (*at, "name")
    else:
        text, at_name = " ".join(entry.split()), at
    match = re.fullmatch(_CONDA, text)
    if match is None:
        report.add(
            at_name, f"{redact(text)[:120]!r} is not a conda MatchSpec", 'for example, write "cuda-nvcc >=12,<13"'
        )
        return None
    if ";" in match["rest"]:
        report.add(at, "conda packages have no markers", f"add it for one target under {_additions(at)}")
        return None
    if match["channel"] and isinstance(entry, str):
        channel = match["channel"]
        sources.check(report, at, channel if channel in sources.kinds else channel.partition("/")[0], "conda")
    return CondaDependency(spec=text, at=at)


def _dense(version: str) -> str:
    """A version specifier without white space, which would end it in a MatchSpec."""
    return re.sub(r"\s+", "", version)


def _additions(at: KeyPath) -> str:
    owner = render_key_path(at[:2]) if at[0] == "steps" else "steps.<name>"
    return f"[{owner}.on.<target>]"
