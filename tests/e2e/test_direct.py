"""Direct references through the installed command: locked, bundled and run."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import msgspec
import pytest
import tomli

from envc.fetch.pypi.listing import JSON_TYPE
from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.projects import (
    BACKEND,
    PYPROJECT,
    Repository,
    backend_wheel,
    project_files,
    sdist,
    write_project,
    zip_project,
)
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

PLATFORMS = sorted({host_platform(), "linux-64", "win-64"})


def manifest(*requirements: str, policy: str = 'build = ["acme"]', targets: list[str] | None = None) -> str:
    return f"""\
[project]
name = "demo"
targets = {targets or PLATFORMS}
python = "{HOST_PYTHON}"
[steps.train]
pypi = [{", ".join(requirements)}]
run = "python -c 'import acme; print(acme.__version__)'"
[policy]
{policy}
"""


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    index.add(backend_wheel())
    place = Workplace(tmp_path, index.url)
    place.env["CARGO_HOME"] = str(tmp_path / "builds.log")
    return place


def built(place: Workplace) -> list[str]:
    """Return the projects that were built so far, in order."""
    log = Path(place.env["CARGO_HOME"])
    return log.read_text().split() if log.exists() else []


def forget(place: Workplace) -> None:
    """Become another machine: empty the cache and the store."""
    for folder in (place.cache, place.store):
        shutil.rmtree(folder, ignore_errors=True)


def locked(place: Workplace) -> dict[str, dict[str, object]]:
    return {package["id"]: package for package in tomli.loads(place.lock.read_text())["package"]}


def build_of(place: Workplace) -> dict[str, object]:
    (build,) = tomli.loads(place.lock.read_text())["build"]
    return dict(build)


def test_a_wheel_by_url_is_pinned_by_its_digest(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0", ["gamma>=1"], files={"acme.py": '__version__ = "direct"\n'}))
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}"', policy=""))
    place.ok("lock")
    package = locked(place)["pypi:acme"]
    assert package["source"] == "url"
    assert package["artifacts"] == [{"file": wheel.file, "size": wheel.size, "sha256": wheel.sha256}]
    assert "pypi:gamma" in locked(place)
    assert not index.requests_for("/simple/acme/")
    index.forget()
    assert "unchanged" in place.ok("lock").err
    assert not index.log
    place.ok("lock", "--verify")
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "direct\n"


def test_a_url_may_have_a_query(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0"))
    place.write(manifest(f'{{ url = "{index.base}/files/{wheel.file}?signature=abc" }}', policy=""))
    place.ok("lock")
    assert [one["file"] for one in locked(place)["pypi:acme"]["artifacts"]] == [wheel.file]  # type: ignore[attr-defined]
    forget(place)
    assert place.ok("run", "train").out == "1.0\n"


def test_a_wheel_by_url_must_have_the_digest_that_the_manifest_states(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0"))
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}#sha256={wheel.sha256}"', policy=""))
    place.ok("lock")
    wrong = "0" * 64
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}#sha256={wrong}"', policy=""))
    assert f"expected sha256 {wrong}" in place.fails(1, "lock").err


def test_a_file_that_changed_at_its_url_is_accepted_only_on_request(place: Workplace, index: IndexServer) -> None:
    first = index.add(build_wheel("acme", "1.0", files={"acme.py": "one = 1\n"}))
    place.write(manifest(f'"acme @ {index.base}/files/{first.file}"', policy=""))
    place.ok("lock")
    second = index.add(build_wheel("acme", "1.0", files={"acme.py": "two = 2\n"}))
    forget(place)
    done = place.fails(1, "bundle")
    assert first.sha256 in done.err and second.sha256 in done.err
    place.write(manifest(f'"acme @ {index.base}/files/{first.file}"', '"beta"', policy=""))
    assert "envc lock -P acme" in place.fails(1, "lock").err
    place.ok("lock", "-P", "acme")
    assert second.sha256 in place.lock.read_text()


def test_requirements_of_packages_on_a_direct_project_must_be_met(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("user", "1.0", ["acme>=2"]))
    wheel = index.add(build_wheel("acme", "1.0"))
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}"', '"user"', policy=""))
    message = place.fails(1, "lock").err
    assert "acme>=2" in message and "1.0" in message
    assert "acme can only come from the reference at steps.train.pypi[0], line 6" in message


def test_a_direct_wheel_for_another_platform_is_refused(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0", tag="cp311-cp311-macosx_11_0_arm64"))
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}"', policy="", targets=["linux-64"]))
    assert "macosx_11_0_arm64" in place.fails(1, "lock").err


def test_a_wheel_by_path(place: Workplace) -> None:
    wheel = build_wheel("acme", "1.0", ["gamma"], files={"acme.py": '__version__ = "by path"\n'})
    place.write(manifest(f'{{ path = "vendor/{wheel.file}" }}', policy=""))
    (place.checkout / "vendor").mkdir()
    path = place.checkout / "vendor" / wheel.file
    path.write_bytes(wheel.data)
    place.ok("lock")
    assert locked(place)["pypi:acme"]["source"] == "path"
    assert str(place.checkout) not in place.lock.read_text()
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "by path\n"
    path.write_bytes(build_wheel("acme", "1.0", files={"acme.py": '__version__ = "new"\n'}).data)
    assert f"train.vendor/{wheel.file}" in place.fails(1, "lock", "--check").err
    forget(place)
    assert "does not match its digest" in place.fails(1, "bundle", "--frozen").err
    place.ok("lock")
    place.ok("bundle")
    assert place.ok("run", "train").out == "new\n"
    path.unlink()
    assert f"vendor/{wheel.file} does not exist" in place.fails(1, "lock").err


def test_a_local_project_is_built_once_for_all_targets(place: Workplace, index: IndexServer) -> None:
    place.write(manifest('{ path = "libs/acme" }'))
    folder = write_project(place.checkout / "libs/acme", project_files("acme", depends='"gamma"', _gitignore="*.tmp\n"))
    (folder / "_gitignore").rename(folder / ".gitignore")
    place.ok("lock")
    assert built(place) == ["acme"]
    build = build_of(place)
    assert [one["name"] for one in build["packages"]] == ["tinybuild"]  # type: ignore[attr-defined]
    assert build["requires"] == ["tinybuild"]
    assert "pypi:gamma" in locked(place)
    index.forget()
    (folder / "notes.tmp").write_text("ignored")
    (folder / "acme.py").touch()
    assert "unchanged" in place.ok("lock").err
    assert not index.log
    place.ok("bundle")
    assert place.ok("run", "train").out == "1.0\n"
    assert built(place) == ["acme"]


def test_a_local_project_that_changed_makes_the_lock_stale(place: Workplace) -> None:
    place.write(manifest('{ path = "libs/acme", editable = true }'))
    folder = write_project(place.checkout / "libs/acme", project_files("acme"))
    place.ok("lock")
    before = place.lock.read_text()
    (folder / "acme.py").write_text('__version__ = "changed"\n')
    assert "the files of libs/acme have changed" in place.fails(1, "lock", "--check").err
    assert "the files of libs/acme have changed" in place.fails(1, "bundle").err
    place.ok("lock")
    assert place.lock.read_text() != before
    place.ok("bundle")
    assert place.ok("run", "train").out == "changed\n"


def test_another_machine_builds_the_same_wheel_again(place: Workplace, index: IndexServer) -> None:
    place.write(manifest('{ path = "libs/acme" }'))
    write_project(place.checkout / "libs/acme", project_files("acme"))
    place.ok("lock")
    index.add(backend_wheel("2.0"))  # newer, but not locked
    forget(place)
    place.ok("bundle")
    assert built(place) == ["acme", "acme"]
    assert not any("tinybuild-2.0" in path for path in index.paths)
    assert place.ok("run", "train").out == "1.0\n"


def test_a_build_that_is_not_reproducible_is_reported_with_a_hint(place: Workplace) -> None:
    place.write(manifest('{ path = "libs/acme" }'))
    write_project(place.checkout / "libs/acme", project_files("acme", unsteady__txt=""))
    place.ok("lock")
    place.ok("bundle")  # on this machine the wheel is in the cache
    forget(place)
    message = place.fails(1, "bundle").err
    assert "is not the wheel that was locked" in message
    assert "bundle on the machine that locked it" in message


def test_without_permission_nothing_is_built(place: Workplace, index: IndexServer) -> None:
    place.write(manifest('{ path = "libs/acme" }', policy=""))
    write_project(place.checkout / "libs/acme", project_files("acme"))
    message = place.fails(1, "lock").err
    assert "acme would have to be built from source" in message
    assert "steps.train.pypi[0], line 6: acme" in message
    assert 'build = ["acme"] under [policy]' in message
    assert not built(place)


def test_a_platform_wheel_built_here_is_not_used_for_other_platforms(place: Workplace) -> None:
    tag = f"cp{HOST_PYTHON.replace('.', '')}-cp{HOST_PYTHON.replace('.', '')}-linux_x86_64"
    if host_platform() != "linux-64":
        pytest.skip("the wheel that this test builds is for linux-64")
    files = project_files("acme", tag__txt=tag)
    write_project(place.checkout / "libs/acme", files)
    place.write(manifest('{ path = "libs/acme" }', targets=["linux-64"]))
    place.ok("lock")
    assert place.ok("run", "train").out == "1.0\n"
    place.write(manifest('{ path = "libs/acme" }', targets=["linux-64", "win-64"]))
    message = place.fails(1, "lock").err
    assert "has no wheel for win-64" in message and "cross-building is impossible" in message


def test_a_failing_build_shows_the_output_of_the_backend(place: Workplace) -> None:
    place.write(manifest('{ path = "libs/acme" }'))
    write_project(place.checkout / "libs/acme", project_files("acme", fail__txt=""))
    message = place.fails(1, "lock").err
    assert "libs/acme cannot be built: build_wheel failed" in message
    assert "the compiler is not in the mood" in message


def test_a_project_with_another_name_than_required_is_refused(place: Workplace, index: IndexServer) -> None:
    place.write(manifest('{ name = "acme", path = "libs/other" }'))
    write_project(place.checkout / "libs/other", project_files("other"))
    assert "it is other, not acme" in place.fails(1, "lock").err
    wheel = index.add(build_wheel("other", "1.0"))
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}"', policy=""))
    assert "it is other, not acme" in place.fails(1, "lock").err


def test_run_locks_again_if_only_the_code_of_a_local_project_has_changed(place: Workplace) -> None:
    source = write_project(place.checkout / "libs" / "acme", project_files("acme"))
    place.write(manifest('{ path = "libs/acme" }'))
    place.ok("lock")
    module = next(source.rglob("acme*.py"))
    module.write_text(f"{module.read_text()}\n__version__ = 'edited'\n")
    reason = "the files of libs/acme have changed since step train was locked (steps.train.pypi[0], line 6)"
    assert reason in place.fails(1, "lock", "--check").err
    assert reason in place.ok("status").out
    assert "run `envc lock`" in place.fails(1, "bundle").err
    done = place.ok("run", "train")
    assert done.out == "edited\n"
    assert "locked again, since the files of libs/acme have changed; no version has" in done.err
    place.ok("lock", "--check")
    # A new version, of the project itself or of what it needs, is for `envc lock` to choose.
    write_project(source, project_files("acme", "2.0"))
    done = place.fails(1, "run", "train")
    assert reason in done.err
    assert "run `envc lock`" in done.err


def test_run_locks_nothing_again_with_frozen_or_after_another_change(place: Workplace) -> None:
    source = write_project(place.checkout / "libs" / "acme", project_files("acme"))
    place.write(manifest('{ path = "libs/acme" }'))
    place.ok("run", "train")
    module = next(source.rglob("acme*.py"))
    module.write_text(f"{module.read_text()}\n__version__ = 'edited'\n")
    before = place.lock.read_bytes()
    assert place.ok("run", "train", "--frozen").out == "1.0\n"
    place.write(manifest('{ path = "libs/acme" }').replace("[policy]", "[steps.new]\n[policy]"))
    assert "step new is not in the lock" in place.fails(1, "run", "train").err
    assert place.lock.read_bytes() == before


def test_a_commit_is_pinned_and_a_branch_moves_on_request(place: Workplace, tmp_path: Path, index: IndexServer) -> None:
    repository = Repository(tmp_path / "repository")
    first = repository.commit({f"py/{path}": text for path, text in project_files("acme", depends='"gamma"').items()})
    place.write(manifest(f'{{ name = "acme", git = "{repository.url}", rev = "main", subdirectory = "./py/" }}'))
    place.ok("lock")
    assert build_of(place)["commit"] == first
    assert locked(place)["pypi:acme"]["source"] == "git"
    second = repository.commit({"py/acme.py": '__version__ = "moved"\n'})
    index.forget()
    assert "unchanged" in place.ok("lock").err
    assert not index.log
    # Another change solves the step again, but the commit stays.
    text = place.manifest.read_text()
    place.manifest.write_text(text.replace("pypi = [", 'pypi = ["beta", '))
    place.ok("lock")
    assert build_of(place)["commit"] == first
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "1.0\n"
    assert f"~ acme 1.0 @ {first[:8]} -> 1.0 @ {second[:8]}" in place.ok("lock", "-P", "acme").err
    assert build_of(place)["commit"] == second
    place.ok("bundle")
    assert place.ok("run", "train").out == "moved\n"
    third = repository.commit({"py/acme.py": '__version__ = "upgraded"\n'})
    place.ok("lock", "--upgrade")
    assert build_of(place)["commit"] == third


def test_a_wheel_built_from_one_repository_does_not_serve_another(place: Workplace, tmp_path: Path) -> None:
    """Builds read versions from tags, which are no part of a commit. A fork may have the commit with other tags."""
    honest = Repository(tmp_path / "honest")
    files = project_files("acme", None) | {"version.txt": "0", "from-tags.txt": ""}
    commit = honest.commit(files)
    honest.git("tag", "1.0")
    fork = Repository(tmp_path / "fork")
    fork.git("pull", "--quiet", str(honest.folder), "main")
    fork.git("tag", "99.0")
    for repository, version in ((fork, "99.0"), (honest, "1.0"), (fork, "99.0"), (honest, "1.0")):
        place.write(manifest(f'{{ name = "acme", git = "{repository.url}", rev = "{commit}" }}'))
        place.ok("lock")
        assert locked(place)["pypi:acme"]["version"] == version
    assert built(place) == ["acme", "acme"], "each place keeps its own build"


def test_a_build_requirement_that_an_index_invents_never_runs(place: Workplace, index: IndexServer) -> None:
    """The index lists the backend under its right digest, and claims that it requires an added package."""
    backend = index.file("tinybuild-1.0-py3-none-any.whl")
    assert backend is not None
    invented = backend.metadata.replace(b"Name: tinybuild", b"Name: tinybuild\nRequires-Dist: added")
    assert invented != backend.metadata
    entry = {
        "filename": backend.file,
        "url": f"/files/{backend.file}",
        "hashes": {"sha256": backend.sha256},
        "core-metadata": {"sha256": hashlib.sha256(invented).hexdigest()},
    }
    index.behaviour.bodies = {
        "/simple/tinybuild/": (JSON_TYPE, json.dumps({"files": [entry]}).encode()),
        f"/files/{backend.file}.metadata": ("text/plain", invented),
    }
    index.add(build_wheel("added", "1.0", files={"added.pth": "import os; open(os.environ['CARGO_HOME'], 'w')\n"}))
    write_project(place.checkout / "libs/acme", project_files("acme"))
    place.write(manifest('{ name = "acme", path = "libs/acme" }'))
    message = place.fails(1, "lock").err
    assert "it was locked with added, which no wheel in it requires" in message
    assert built(place) == []
    index.behaviour.bodies = {}
    place.ok("lock", "--refresh")


def test_tags_short_commits_and_pip_s_spelling(place: Workplace, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    first = repository.commit(project_files("acme"))
    repository.git("tag", "--annotate", "--message", "one", "v1")
    repository.commit({"acme.py": "later = 1\n"})
    for requirement in (
        f'{{ name = "acme", git = "{repository.url}", rev = "v1" }}',
        f'{{ name = "acme", git = "{repository.url}", rev = "{first[:10]}" }}',
        f'{{ name = "acme", git = "{repository.url}", rev = "{first}" }}',
        f'"acme @ git+{repository.url}@v1"',
    ):
        place.write(manifest(requirement))
        place.ok("lock")
        assert build_of(place)["commit"] == first
    place.write(manifest(f'{{ name = "acme", git = "{repository.url}", rev = "v9" }}'))
    message = place.fails(1, "lock").err
    assert "there is no such commit, tag or branch" in message
    assert str(tmp_path / "repository") not in message


def test_the_error_for_a_missing_repository_shows_no_address(place: Workplace, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    place.write(manifest(f'{{ name = "acme", git = "{gone.as_uri()}" }}'))
    message = place.fails(1, "lock").err
    assert "cannot get the default branch of acme from its git repository" in message
    assert str(gone) not in message


def test_without_git_a_hint_is_shown(place: Workplace, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit(project_files("acme"))
    place.write(manifest(f'{{ name = "acme", git = "{repository.url}" }}'))
    assert "there is no `git` on PATH" in place.fails(1, "lock", PATH=str(tmp_path)).err


def test_an_sdist_of_an_index_is_built_if_there_is_no_wheel(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("acme", "1.0"))
    source = index.add(sdist("acme", "2.0", project_files("acme", "2.0", depends='"gamma"')))
    place.write(manifest('"acme"', policy='sdist = "older"'))
    place.ok("lock")
    assert locked(place)["pypi:acme"]["version"] == "1.0"
    place.write(manifest('"acme"'))
    place.ok("lock", "--upgrade")
    package = locked(place)["pypi:acme"]
    assert (package["version"], package["source"]) == ("2.0", "pypi")
    assert build_of(place)["sdist"] == {"file": source.file, "size": source.size, "sha256": source.sha256}
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "2.0\n"
    assert built(place) == ["acme", "acme"]
    assert "unchanged" in place.ok("lock").err
    place.ok("lock", "--verify")
    # A wheel that is added later is only chosen if the pin may move.
    index.add(build_wheel("acme", "2.0"))
    place.manifest.write_text(place.manifest.read_text().replace('"acme"]\nrun', '"acme", "beta"]\nrun'))
    place.ok("lock", "--refresh")
    assert build_of(place)["sdist"]["file"] == source.file  # type: ignore[index]
    place.ok("lock", "-P", "acme")
    assert "build" not in tomli.loads(place.lock.read_text())


@pytest.mark.parametrize("says", ["pkg-info", "pyproject"])
def test_static_metadata_is_read_without_building(place: Workplace, index: IndexServer, says: str) -> None:
    files = project_files("acme", "2.0", depends='"nowhere-to-be-found"')
    pkg_info = None
    if says == "pkg-info":
        pkg_info = "Metadata-Version: 2.2\nName: acme\nVersion: 2.0\nRequires-Dist: nowhere-to-be-found\n\n"
        files = project_files("acme", None, version__txt="2.0")
    index.add(sdist("acme", "2.0", files, pkg_info=pkg_info))
    place.write(manifest('"acme"', policy=""))
    assert 'to build acme from source, write build = ["acme"] under [policy]' in place.fails(1, "lock").err
    place.write(manifest('"acme"'))
    assert "nowhere-to-be-found" in place.fails(1, "lock").err
    assert not built(place)


def test_legacy_metadata_needs_a_build(place: Workplace, index: IndexServer) -> None:
    files = project_files("acme", None, version__txt="2.0\n", needs__txt="gamma\n")
    files["pyproject.toml"] = files["pyproject.toml"].replace('["version"]', '["version", "dependencies"]')
    files["pyproject.toml"] = files["pyproject.toml"].replace("dependencies = []\n", "")
    index.add(sdist("acme", "2.0", files))
    place.write(manifest('"acme"'))
    place.ok("lock")
    assert "pypi:gamma" in locked(place)
    assert built(place) == ["acme"]


def test_requirements_of_build_hooks_are_locked_too(place: Workplace, index: IndexServer) -> None:
    write_project(place.checkout / "libs/acme", project_files("acme", **{"build-needs__txt": "gamma"}))
    place.write(manifest('{ path = "libs/acme" }'))
    place.ok("lock")
    build = build_of(place)
    assert build["requires"] == ["gamma", "tinybuild"]
    assert [one["name"] for one in build["packages"]] == ["gamma", "tinybuild"]  # type: ignore[attr-defined]


def test_a_build_requirement_is_itself_built(place: Workplace, index: IndexServer) -> None:
    index.add(sdist("helper", "1.0", project_files("helper")))
    write_project(place.checkout / "libs/acme", project_files("acme", **{"build-needs__txt": "helper"}))
    place.write(manifest('{ path = "libs/acme" }', policy='build = ["acme", "helper"]'))
    place.ok("lock")
    builds = {build["wheel"] for build in tomli.loads(place.lock.read_text())["build"]}
    assert builds == {"acme-1.0-py3-none-any.whl", "helper-1.0-py3-none-any.whl"}
    assert built(place) == ["helper", "acme"]
    forget(place)
    place.ok("bundle")
    assert built(place) == ["helper", "acme"] * 2
    assert place.ok("run", "train").out == "1.0\n"


def test_a_missing_build_requirement_is_reported(place: Workplace, index: IndexServer) -> None:
    write_project(place.checkout / "libs/acme", project_files("acme", **{"build-needs__txt": "nowhere-to-be-found>=2"}))
    place.write(manifest('{ path = "libs/acme" }'))
    message = place.fails(1, "lock").err
    assert "its build requirements cannot be solved" in message
    assert "nowhere-to-be-found" in message
    write_project(place.checkout / "libs/acme", {"build-needs.txt": "gamma @ https://files.example.com/gamma.whl"})
    assert "its build requires gamma from a URL" in place.fails(1, "lock").err


def test_build_requirements_are_not_built_without_permission(place: Workplace, index: IndexServer) -> None:
    index.add(sdist("helper", "1.0", project_files("helper")))
    write_project(place.checkout / "libs/acme", project_files("acme", **{"build-needs__txt": "helper"}))
    place.write(manifest('{ path = "libs/acme" }'))
    assert "its build requirements cannot be solved" in place.fails(1, "lock").err
    assert not built(place)


def test_a_build_that_requires_its_own_project_is_refused(place: Workplace, index: IndexServer) -> None:
    index.add(sdist("helper", "1.0", project_files("helper", **{"build-needs__txt": "helper"})))
    place.write(manifest('"helper"', policy='build = ["helper"]'))
    assert "its build requires itself: helper → helper" in place.fails(1, "lock").err


def test_an_in_tree_backend(place: Workplace, index: IndexServer) -> None:
    system = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["tools"]\n'
    files = project_files("acme", **{"tools/own__py": BACKEND})
    files["pyproject.toml"] = files["pyproject.toml"].replace(PYPROJECT, system)
    write_project(place.checkout / "libs/acme", files)
    place.write(manifest('{ path = "libs/acme" }'))
    place.ok("lock")
    assert build_of(place)["requires"] == []
    assert not index.log
    assert place.ok("run", "train").out == "1.0\n"


def test_extras_of_a_direct_reference(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0", ['delta; extra == "fast"'], extras=["fast"]))
    place.write(manifest(f'"acme[fast] @ {index.base}/files/{wheel.file}"', policy=""))
    place.ok("lock")
    assert "pypi:delta" in locked(place)


def test_an_archive_by_url_with_a_subdirectory(place: Workplace, index: IndexServer) -> None:
    files = {f"python/{path}": text for path, text in project_files("acme").items()}
    index.behaviour.bodies["/archive/v1.zip"] = ("application/zip", zip_project("acme-v1", files))
    place.write(manifest(f'{{ name = "acme", url = "{index.base}/archive/v1.zip#subdirectory=python" }}'))
    place.ok("lock")
    assert build_of(place)["sdist"]["file"] == "v1.zip"  # type: ignore[index]
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "1.0\n"


def test_an_sdist_by_path(place: Workplace) -> None:
    source = sdist("acme", "1.0", project_files("acme"))
    place.write(manifest(f'{{ path = "vendor/{source.file}" }}'))
    (place.checkout / "vendor").mkdir()
    (place.checkout / "vendor" / source.file).write_bytes(source.data)
    place.ok("lock")
    assert "unchanged" in place.ok("lock").err
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "1.0\n"


def test_markers_choose_between_two_references(place: Workplace, index: IndexServer) -> None:
    one = index.add(build_wheel("acme", "1.0"))
    other = index.add(build_wheel("acme", "2.0"))
    place.write(
        manifest(
            f"\"acme @ {index.base}/files/{one.file} ; sys_platform == 'win32'\"",
            f"\"acme @ {index.base}/files/{other.file} ; sys_platform != 'win32'\"",
            policy="",
            targets=["linux-64", "win-64"],
        )
    )
    place.ok("lock")
    assert {package["version"] for package in locked(place).values()} == {"1.0", "2.0"}
    forget(place)
    place.ok("bundle")
    assert place.ok("run", "train").out == "2.0\n"
    place.write(
        manifest(
            f"\"acme @ {index.base}/files/{one.file} ; python_version > '3'\"",
            f"\"acme @ {index.base}/files/{other.file} ; python_version > '3.1'\"",
            policy="",
        )
    )
    assert "takes acme from two places" in place.fails(2, "lock").err


def test_each_of_two_references_keeps_its_pin(place: Workplace, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    first = repository.commit(project_files("acme"))
    repository.git("branch", "old")
    second = repository.commit({"acme.py": "new = 1\n"})
    place.write(
        manifest(
            f"""{{ name = "acme", git = "{repository.url}", rev = "old", marker = "sys_platform == 'win32'" }}""",
            f"""{{ name = "acme", git = "{repository.url}", rev = "main", marker = "sys_platform != 'win32'" }}""",
            targets=["linux-64", "win-64"],
        )
    )
    place.ok("lock")
    commits = {build["commit"] for build in tomli.loads(place.lock.read_text())["build"]}
    assert commits == {first, second}
    repository.commit({"acme.py": "newer = 1\n"})
    place.manifest.write_text(place.manifest.read_text().replace("pypi = [", 'pypi = ["beta", '))
    place.ok("lock")
    assert {build["commit"] for build in tomli.loads(place.lock.read_text())["build"]} == commits


def test_an_override_may_be_a_direct_reference(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("user", "1.0", ["acme<1"]))
    wheel = index.add(build_wheel("acme", "1.0"))
    place.write(manifest('"user"', policy="") + f'[overrides]\npypi = ["acme @ {index.base}/files/{wheel.file}"]\n')
    place.ok("lock")
    assert locked(place)["pypi:acme"]["source"] == "url"
    forget(place)
    place.ok("bundle")


def test_the_manifest_overrides_direct_references_of_packages(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0"))
    index.add(build_wheel("user", "1.0", ["acme @ https://files.example.com/acme-0.9-py3-none-any.whl"]))
    place.write(manifest('"user"', policy=""))
    assert "requires acme from a URL" in place.fails(1, "lock").err
    place.write(manifest('"user"', f'"acme @ {index.base}/files/{wheel.file}"', policy=""))
    place.ok("lock")
    assert "files.example.com" not in place.lock.read_text()
    forget(place)
    place.ok("bundle")


def test_solve_accepts_a_direct_reference(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0", ["gamma"]))
    query = ("--pypi", f"acme @ {index.base}/files/{wheel.file}", "--platform", "linux-64", "--python", HOST_PYTHON)
    packages = place.ok("solve", *query, "--json").json["packages"]
    assert [(one["name"], one["source"], one["sha256"] == wheel.sha256) for one in packages] == [
        ("acme", "url", True),
        ("gamma", "pypi", False),
    ]
    done = place.fails(2, "solve", "--pypi", "acme @ https://me:hunter2@files.example.com/acme-1.0-py3-none-any.whl")
    assert "hunter2" not in done.err
    git = place.fails(1, "solve", "--pypi", "acme @ git+https://git.example.com/acme", "--platform", "linux-64")
    assert "would have to be built from source" in git.err


def test_offline_uses_cached_projects_and_names_missing_ones(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0"))
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}"', policy=""))
    assert f"{wheel.file} is not in the cache" in place.fails(1, "lock", "--offline").err
    place.ok("lock")
    place.manifest.write_text(place.manifest.read_text().replace(str(PLATFORMS), str([*PLATFORMS, "osx-arm64"])))
    place.ok("lock", "--offline")


def test_credentials_are_not_in_lock_messages_or_store(place: Workplace, index: IndexServer) -> None:
    wheel = index.add(build_wheel("acme", "1.0"))
    index.behaviour.auth = ("me", "hunter2")
    netrc = place.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    place.write(manifest(f'"acme @ {index.base}/files/{wheel.file}"', policy=""))
    assert "HTTP 401" in place.fails(1, "lock").err
    message = place.ok("lock", NETRC=str(netrc)).err
    place.ok("bundle", NETRC=str(netrc))
    written = place.lock.read_bytes() + message.encode()
    written += b"".join(path.read_bytes() for path in place.store.rglob("*") if path.is_file())
    written += b"".join(path.read_bytes() for path in place.cache.rglob("*") if path.is_file())
    assert b"hunter2" not in written
    spelt = place.manifest.read_text().replace("://", "://me:hunter2@")
    place.manifest.write_text(spelt)
    assert "hunter2" not in place.fails(2, "lock").err


def test_json_names_the_refused_project(place: Workplace) -> None:
    place.write(manifest('{ path = "libs/acme" }', policy=""))
    refusal = msgspec.json.decode(place.fails(1, "lock", "--json").out)
    assert refusal["error"]["code"] == "build-not-allowed"


def test_a_project_whose_pyproject_is_the_manifest(place: Workplace) -> None:
    files = project_files("acme", depends='"gamma"')
    files["pyproject.toml"] += f"""
[tool.envc.project]
targets = {PLATFORMS}
python = "{HOST_PYTHON}"
[tool.envc.steps.train]
pypi = [{{ name = "acme", path = "." }}]
run = "python -c 'import acme; print(acme.__version__)'"
[tool.envc.policy]
build = ["acme"]
"""
    write_project(place.checkout, files)
    place.ok("lock")
    assert "unchanged" in place.ok("lock").err
    place.ok("bundle")
    assert place.ok("run", "train").out == "1.0\n"
    assert "unchanged" in place.ok("lock").err
