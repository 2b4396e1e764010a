"""A version that was uploaded again with other bytes: a pin that stays keeps its digest, unless that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.conftest import MANIFEST
from tests.e2e.test_lock_conda import MANIFEST as CONDA_MANIFEST
from tests.e2e.test_lock_conda import write_channel
from tests.support.manifests import project_table
from tests.support.projects import backend_wheel, project_files, sdist
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

WITH_DELTA = MANIFEST.replace('"alpha>=1"', '"alpha>=1", "delta"')


def replace_gamma(index: IndexServer) -> tuple[str, str]:
    """Upload gamma 2.0 again. Returns both digests."""
    old = index.file("gamma-2.0-py3-none-any.whl")
    assert old is not None
    new = index.add(build_wheel("gamma", "2.0", files={"gamma.py": "replaced = True\n"}, requires_python=">=3.8"))
    return old.sha256, new.sha256


@pytest.mark.parametrize("options", [(), ("-P", "gamma"), ("-P", "gamma==2.0"), ("-U",)])
def test_a_pin_that_stays_keeps_its_digest(workplace: Workplace, index: IndexServer, options: tuple[str, ...]) -> None:
    workplace.ok("lock")
    old, new = replace_gamma(index)
    before = workplace.lock.read_bytes()
    workplace.write(WITH_DELTA)
    done = workplace.fails(1, "lock", "--refresh", *options)
    assert "gamma-2.0-py3-none-any.whl of gamma 2.0 has other bytes on pypi than in the lock" in done.err
    assert f"  locked sha256 {old}\n" in done.err
    assert f"  now    sha256 {new}\n" in done.err
    assert "`envc lock --accept-reupload gamma`" in done.err
    assert workplace.lock.read_bytes() == before


def test_the_new_bytes_are_taken_where_that_is_asked_for(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    old, new = replace_gamma(index)
    index.add(build_wheel("gamma", "2.1"))
    workplace.write(WITH_DELTA)
    workplace.ok("lock", "--refresh", "--accept-reupload", "Gamma")
    text = workplace.lock.read_text()
    assert (old in text, new in text) == (False, True)
    assert "gamma-2.1" not in text  # the version stays
    assert "is unchanged" in workplace.ok("lock").err
    workplace.ok("lock", "-U")


def test_the_new_bytes_are_taken_although_nothing_else_has_changed(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    old, new = replace_gamma(index)
    assert "is unchanged" in workplace.ok("lock", "--refresh").err
    workplace.ok("lock", "--refresh", "--accept-reupload", "gamma")
    assert old not in workplace.lock.read_text()
    assert new in workplace.lock.read_text()


def test_a_name_that_the_lock_does_not_have_is_refused(workplace: Workplace) -> None:
    workplace.ok("lock")
    done = workplace.fails(2, "lock", "--accept-reupload", "gama")
    assert "--accept-reupload gama: the lock has no package gama" in done.err
    assert "did you mean gamma?" in done.err


def test_the_errors_are_data_too(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    old, new = replace_gamma(index)
    workplace.write(WITH_DELTA)
    error = workplace.fails(1, "lock", "--refresh", "--json").json["error"]
    assert error["code"] == "reuploaded"
    assert [(one["locked"], one["current"]) for one in error["files"]] == [(old, new)]


def test_bundle_names_both_digests(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    old, new = replace_gamma(index)
    shutil.rmtree(workplace.cache)
    done = workplace.fails(1, "bundle", "--step", "report", "--platform", "linux-64")
    assert f"it now has sha256 {new}, where the lock has {old}" in done.err
    assert "--accept-reupload gamma" in done.err


@pytest.mark.parametrize("pages", ["json", "html"])
def test_a_file_without_a_stated_digest_is_compared_too(workplace: Workplace, index: IndexServer, pages: str) -> None:
    index.behaviour.hashes = False
    index.behaviour.pages = "html" if pages == "html" else "json"
    workplace.ok("lock")
    old, new = replace_gamma(index)
    workplace.write(WITH_DELTA)
    done = workplace.fails(1, "lock", "--refresh")
    assert old in done.err
    assert new in done.err


def test_a_replaced_file_in_a_folder_is_compared_too(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    folder = place.checkout / "wheels"
    folder.mkdir()
    text = project_table("linux-64", python=HOST_PYTHON, indexes=["local"]) + (
        '[sources.local]\nkind = "find-links"\nurl = "wheels"\n[steps.one]\npypi = ["gamma"]\n'
    )
    first, other = build_wheel("gamma", "1.0"), build_wheel("gamma", "1.0", files={"gamma.py": "other = 1\n"})
    (folder / first.file).write_bytes(first.data)
    (folder / "delta-1.0-py3-none-any.whl").write_bytes(build_wheel("delta", "1.0").data)
    place.write(text)
    place.ok("lock")
    (folder / first.file).write_bytes(other.data)
    place.write(text.replace('"gamma"', '"gamma", "delta"'))
    done = place.fails(1, "lock")
    assert first.sha256 in done.err
    assert other.sha256 in done.err
    place.ok("lock", "--accept-reupload", "gamma")


def test_a_replaced_source_distribution_is_compared_too(tmp_path: Path, index: IndexServer) -> None:
    place = Workplace(tmp_path, index.url)
    index.add(backend_wheel())
    old = index.add(sdist("acme", "1.0", project_files("acme")))
    text = project_table("linux-64", python=HOST_PYTHON) + (
        '[steps.only]\npypi = ["acme"]\n[policy]\nbuild = ["acme"]\n'
    )
    place.write(text)
    place.ok("lock")
    new = index.add(sdist("acme", "1.0", project_files("acme", extra__py="more = 1\n")))
    assert new.sha256 != old.sha256
    place.write(text.replace('"acme"]', '"acme", "delta"]', 1))
    done = place.fails(1, "lock", "--refresh")
    assert f"{old.file} of acme 1.0 has other bytes on pypi than in the lock" in done.err
    assert new.sha256 in done.err
    place.ok("lock", "--refresh", "--accept-reupload", "acme")
    assert new.sha256 in place.lock.read_text()


def test_a_replaced_conda_package_is_compared_too(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    place.write(CONDA_MANIFEST)
    write_channel(place.checkout / "channel")
    place.ok("lock")
    repodata = place.checkout / "channel" / "linux-64" / "repodata.json"
    text = repodata.read_text()
    digest = text.partition('"tool"')[2].partition('"sha256": "')[2][:64]
    repodata.write_text(text.replace(digest, "0" * 64))
    place.write(CONDA_MANIFEST.replace('conda = ["extra"]', 'conda = ["extra", "python"]'))
    done = place.fails(1, "lock", "--refresh")
    assert f"  locked sha256 {digest}\n  now    sha256 {'0' * 64}" in done.err
    place.ok("lock", "--refresh", "--accept-reupload", "tool")
    assert digest not in place.lock.read_text()


@pytest.mark.parametrize("pages", ["json", "html"])
def test_a_refresh_asks_again_for_a_file_whose_digest_no_page_states(
    workplace: Workplace, index: IndexServer, pages: str
) -> None:
    index.behaviour.hashes = index.behaviour.sizes = False
    index.behaviour.pages = "html" if pages == "html" else "json"
    workplace.ok("lock")
    old, new = replace_gamma(index)
    assert "gamma-2.0" in workplace.fails(1, "lock", "--verify").out
    workplace.lock.unlink()
    workplace.ok("lock", "--refresh")
    assert old not in workplace.lock.read_text()
    assert new in workplace.lock.read_text()
    shutil.rmtree(workplace.cache)
    workplace.ok("bundle")


def test_the_new_bytes_may_be_taken_for_one_step_only(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    old, new = replace_gamma(index)
    workplace.ok("lock", "--refresh", "--step", "train", "--accept-reupload", "gamma")
    assert old in workplace.lock.read_text()
    assert new in workplace.lock.read_text()
    assert "is unchanged" in workplace.ok("lock").err
