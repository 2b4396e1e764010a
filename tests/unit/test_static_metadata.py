"""Static metadata of a project that is not built, and when it is reliable."""

from __future__ import annotations

import pytest

from envc.fetch.pypi.metadata import parse_metadata, project_metadata, static_metadata
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.language.requirement import parse

HEAD = "Metadata-Version: {version}\nName: Acme_X\nVersion: 1.0\nRequires-Dist: beta>=1\n"


def pkg_info(version: str, *more: str) -> bytes:
    return (HEAD.format(version=version) + "".join(f"{line}\n" for line in more) + "\ntext\n").encode()


@pytest.mark.parametrize("version", ["2.2", "2.3", "2.10", "3.0"])
def test_since_metadata_2_2_fields_that_are_not_dynamic_are_final(version: str) -> None:
    metadata = static_metadata("acme-x-1.0.tar.gz", pkg_info(version, "Dynamic: License-File", "Dynamic: Summary"))
    assert metadata is not None
    assert (metadata.name, metadata.version, metadata.requires) == ("acme-x", "1.0", (parse("beta>=1"),))


@pytest.mark.parametrize("version", ["1.0", "1.2", "2.1", "nonsense", ""])
def test_older_metadata_is_never_final(version: str) -> None:
    assert static_metadata("acme-x-1.0.tar.gz", pkg_info(version)) is None


@pytest.mark.parametrize("field", ["Requires-Dist", "requires-python", "Provides-Extra", "VERSION"])
def test_a_dynamic_field_that_the_solver_needs_makes_all_unknown(field: str) -> None:
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


def test_a_project_table_gives_the_metadata_of_the_wheel() -> None:
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
def test_a_dynamic_key_makes_all_unknown(key: str) -> None:
    text = f'[project]\nname = "acme"\nversion = "1.0"\ndynamic = ["{key}"]\n'
    assert project_metadata("libs/acme", text.encode()) is None
    harmless = text.replace(f'"{key}"', '"description"')
    assert project_metadata("libs/acme", harmless.encode()) is not None


@pytest.mark.parametrize("text", ["", "[tool.poetry]\nname = 'acme'\n", "[project]\nname = 'acme'\n"])
def test_a_project_table_without_a_version_gives_no_metadata(text: str) -> None:
    assert project_metadata("libs/acme", text.encode()) is None


def test_an_extra_with_a_malformed_requirement_is_left_out() -> None:
    metadata = project_metadata("libs/acme", (PROJECT + 'slow = ["zeta>=abc"]\n').encode())
    assert metadata == project_metadata("libs/acme", PROJECT.encode())


@pytest.mark.parametrize(
    "text",
    ["[project\n", "[project]\nversion = '1'\n", "[project]\nname = 'a'\nversion = '1'\ndependencies = 'b'\n", "\xff"],
)
def test_an_invalid_project_table_gives_no_metadata(text: str) -> None:
    with pytest.raises(MetadataUnusable):
        project_metadata("libs/acme", text.encode("latin-1"))
