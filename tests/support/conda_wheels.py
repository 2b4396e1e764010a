"""Converts wheels to conda packages, as a channel's recipe would build them with pip."""

from __future__ import annotations

import configparser
import io
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name

from tests.e2e.command import HOST_PYTHON, host_platform
from tests.support.conda_packages import PLACEHOLDER, File, Package, build_conda

_LIBRARY = f"lib/python{HOST_PYTHON}/site-packages"


def conda_of_wheel(path: Path, *, level: int = 9) -> Package:
    """Return a noarch python package for a pure wheel, otherwise a package for this machine's platform and Python.

    Requirements that apply to this interpreter without extras become dependencies. Console scripts become entry points
    in noarch packages, and scripts that contain the placeholder in native ones.
    """
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        content = {name: archive.read(name) for name in members}
    dist_info = next(name.partition("/")[0] for name in members if name.endswith(".dist-info/METADATA"))
    metadata = BytesParser().parsebytes(content[f"{dist_info}/METADATA"])
    pure = all(tag.platform == "any" and tag.abi == "none" for tag in parse_tag(path.stem.split("-", 2)[2]))
    scripts = _console_scripts(content.get(f"{dist_info}/entry_points.txt", b""))
    content[f"{dist_info}/INSTALLER"] = b"conda\n"
    root, programs = ("site-packages", "python-scripts") if pure else (_LIBRARY, "bin")
    files = {}
    for name, data in content.items():
        executable = name in members and members[name].external_attr >> 16 & 0o111
        files[_place(name, dist_info, root, programs)] = File(data, mode=0o755 if executable else 0o644)
    if not pure:
        for script, reference in scripts.items():
            files[f"bin/{script}"] = File(_launcher(reference), mode=0o755)
    minor = sys.version_info[1]
    python = "python >=3.9" if pure else f"python >={HOST_PYTHON},<3.{minor + 1}.0a0"
    return build_conda(
        canonicalize_name(metadata["Name"]),
        metadata["Version"],
        "pyhd8ed1ab_0" if pure else f"py3{minor}h0_0",
        files,
        [python, *_depends(metadata.get_all("Requires-Dist", []))],
        subdir=host_platform(),
        noarch="python" if pure else None,
        entry_points=[f"{script} = {reference}" for script, reference in scripts.items()],
        level=level,
    )


def _place(name: str, dist_info: str, root: str, programs: str) -> str:
    """Return the path in the package of a member of the wheel."""
    top, _, rest = name.partition("/")
    if top != dist_info.removesuffix(".dist-info") + ".data":
        return f"{root}/{name}"
    scheme, _, rest = rest.partition("/")
    return {"scripts": f"{programs}/{rest}", "data": rest, "headers": f"include/{rest}"}.get(scheme, f"{root}/{rest}")


def _console_scripts(text: bytes) -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_file(io.StringIO(text.decode()))
    return dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}


def _launcher(reference: str) -> str:
    module, _, attribute = reference.partition("[")[0].strip().partition(":")
    top = attribute.partition(".")[0]
    return (
        f"#!{PLACEHOLDER}/bin/python{HOST_PYTHON}\nimport sys\nfrom {module} import {top}\n"
        f'if __name__ == "__main__":\n    sys.exit({attribute}())\n'
    )


def _depends(lines: list[str]) -> list[str]:
    depends = []
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            spec = ",".join(sorted(str(specifier).replace(" ", "") for specifier in requirement.specifier))
            depends.append(f"{canonicalize_name(requirement.name)} {spec}".strip())
    return sorted(depends)
