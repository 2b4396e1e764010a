"""What a project says of itself without being built, and when that may be believed."""

from __future__ import annotations

import pytest

from envc.fetch.pypi.metadata import parse_metadata, project_metadata, static_metadata
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.language.requirement import parse

HEAD = "Metadata-Version: {version}\nName: Acme_X\nVersion: 1.0\nRequires-Dist: beta>=1\n"


def pkg_info(version: str, *more: str) -> bytes:
    return (HEAD.format(version=version) + "".join(f"{line}\n" for line in more) + "\ntext\n").encode()


@pytest.mark.parametrize("version", ["2.2", "2.3", "2.10", "3.0"])
def test_from_version_2_2_on_what_is_not_dynamic_is_final(version: str) -> None:
    metadata = static_metadata("acme-x-1.0.tar.gz", pkg_info(version, "Dynamic: License-File", "Dynamic: Summary"))
    assert metadata is not None
    assert (metadata.name, metadata.version, metadata.requires) == ("acme-x", "1.0", (parse("beta>=1"),))


@pytest.mark.parametrize("version", ["1.0", "1.2", "2.1", "nonsense", ""])
def test_older_metadata_says_nothing_final(version: str) -> None:
    assert static_metadata("acme-x-1.0.tar.gz", pkg_info(version)) is None


@pytest.mark.parametrize("field", ["Requires-Dist", "requires-python", "Provides-Extra", "VERSION"])
def test_a_dynamic_field_that_a_solver_asks_about_leaves_all_open(field: str) -> None:
    assert static_metadata("acme-x-1.0.tar.gz", pkg_info("2.2", f"Dynamic: {field}")) is None


PROJECT = """\
[project]
name = "Acme.X"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["beta>=1", "gamma; sys_platform == 'win32'"]
[project.optional-dependencies]
Fast_Path = ["delta", "epsilon; os_name == 'nt' or os_name == 'posix'"]
"""


def test_a_project_table_says_what_the_built_wheel_would() -> None:
    metadata = project_metadata("libs/acme", PROJECT.encode())
    assert metadata is not None
    built = parse_metadata(
        "acme_x-1.0-py3-none-any.whl",
        b"Metadata-Version: 2.4\nName: acme-x\nVersion: 1.0\nRequires-Python: >=3.9\nRequires-Dist: beta>=1\n"
        b"Requires-Dist: gamma; sys_platform == 'win32'\nProvides-Extra: fast-path\n"
        b'Requires-Dist: delta; extra == "fast-path"\n'
        b"Requires-Dist: epsilon; (os_name == 'nt' or os_name == 'posix') and extra == \"fast-path\"\n\n",
    )
    assert set(metadata.requires) == set(built.requires)
    assert (metadata.name, metadata.version, metadata.requires_python, metadata.extras) == (
        built.name,
        built.version,
        built.requires_python,
        built.extras,
    )


@pytest.mark.parametrize("key", ["version", "dependencies", "optional-dependencies", "requires-python"])
def test_a_dynamic_key_leaves_all_open(key: str) -> None:
    text = f'[project]\nname = "acme"\nversion = "1.0"\ndynamic = ["{key}"]\n'
    assert project_metadata("libs/acme", text.encode()) is None
    harmless = text.replace(f'"{key}"', '"description"')
    assert project_metadata("libs/acme", harmless.encode()) is not None


@pytest.mark.parametrize("text", ["", "[tool.poetry]\nname = 'acme'\n", "[project]\nname = 'acme'\n"])
def test_without_a_version_of_a_project_table_nothing_is_said(text: str) -> None:
    assert project_metadata("libs/acme", text.encode()) is None


@pytest.mark.parametrize(
    "text",
    ["[project\n", "[project]\nversion = '1'\n", "[project]\nname = 'a'\nversion = '1'\ndependencies = 'b'\n", "\xff"],
)
def test_a_table_that_makes_no_sense(text: str) -> None:
    with pytest.raises(MetadataUnusable):
        project_metadata("libs/acme", text.encode("latin-1"))
