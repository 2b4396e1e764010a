"""Stores that are not the one that was meant: misspelt URLs, other folders, and containers without the project."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.e2e.command import Workplace, host_platform
from tests.e2e.conftest import MANIFEST
from tests.support.blob_servers import FolderServer, Server
from tests.support.servers import IndexServer

MISSPELT = {
    "s3:team": "s3://team",
    "s3:/team/a": "s3://team/a",
    "S3//team": "s3://team",
    "https:/example.com/a": "https://example.com/a",
    "https:example.com": "https://example.com",
    "gs:team": "gs://team",
    "file:/srv": "file:///srv",
    "host:folder": "host://folder",
}


@pytest.fixture
def bundled(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle", "--step", "train", "--platform", host_platform())
    return workplace


@pytest.fixture
def container(bundled: Workplace, tmp_path: Path) -> Workplace:
    """A machine with manifest and lock, without the code of the project."""
    place = Workplace(tmp_path / "container", bundled.env["ENVC_INDEX_URL"])
    for path in (bundled.manifest, bundled.lock):
        shutil.copy(path, place.checkout)
    return place


# misspelt URLs


@pytest.mark.parametrize(("text", "meant"), MISSPELT.items())
def test_a_misspelt_url_does_not_make_a_folder(text: str, meant: str, bundled: Workplace) -> None:
    before = sorted(bundled.checkout.iterdir())
    for refused in (
        bundled.fails(2, "bundle", "--store", text),
        bundled.fails(2, "bundle", ENVC_STORE=text),
        bundled.fails(2, "run", "train", "--store", text),
        bundled.fails(2, "hydrate", "train", "--store", text),
        bundled.fails(2, "gc", "--store", text),
    ):
        assert f"{text!r} looks like a URL, and is none" in refused.err
        assert meant in refused.err
    if ":" in text:  # `S3//team` is read as a path before it is looked at
        assert "a URL" in bundled.fails(2, "bundle", "--step", "train", "--output", f"{text}/x.tar.zst").err
    assert sorted(bundled.checkout.iterdir()) == before


@pytest.mark.parametrize(("text", "meant"), MISSPELT.items())
def test_a_misspelt_url_in_a_manifest_is_a_mistake_with_its_line(text: str, meant: str, workplace: Workplace) -> None:
    workplace.write(MANIFEST.replace("[groups", f'store = "{text}"\n\n[groups', 1))
    assert f"project.store: {text!r} looks like a URL, and is none" in workplace.fails(2, "lock").err
    for kind in ("pypi", "conda", "find-links"):
        workplace.write(MANIFEST.replace("[groups", f'[sources.team]\nkind = "{kind}"\nurl = "{text}"\n\n[groups', 1))
        refused = workplace.fails(2, "lock")
        assert f"sources.team.url: {text!r} looks like a URL, and is none" in refused.err
        assert meant in refused.err


def test_a_misspelt_channel_of_solve_is_refused(workplace: Workplace) -> None:
    assert "looks like a URL" in workplace.fails(2, "solve", "--conda", "six", "--channel", "https:/example.com/a").err


def test_a_misspelt_url_with_a_password_is_not_shown(bundled: Workplace) -> None:
    assert "secret" not in bundled.fails(2, "bundle", "--store", "https:/me:secret@example.com/a").err


def test_a_folder_with_a_colon_is_a_store_if_it_is_clearly_a_path(bundled: Workplace) -> None:
    bundled.ok("bundle", "--store", "./s3:team")
    assert (bundled.checkout / "s3:team/v1").is_dir()


@pytest.mark.parametrize("url", ["s3://", "s3:///team", "https://", "gs:///a", "az://"])
def test_a_url_without_a_bucket_says_so(url: str, bundled: Workplace) -> None:
    assert "names no bucket, container or host" in bundled.fails(1, "bundle", "--store", url).err


def test_the_scheme_of_a_url_has_no_case(bundled: Workplace, tmp_path: Path) -> None:
    bundled.ok("bundle", "--store", f"FILE://{tmp_path}/other")
    assert (tmp_path / "other/v1").is_dir()


# the wrong store


def test_a_wrong_store_in_a_container_is_named_and_no_index_is_asked(
    container: Workplace, bundled: Workplace, tmp_path: Path, index: IndexServer
) -> None:
    before = len(index.log)
    wrong = str(tmp_path / "wrong")
    for verb in ("run", "hydrate"):
        refused = container.fails(1, verb, "train", "--store", wrong)
        assert f"{wrong}: does not hold train on {host_platform()} as it is locked" in refused.err
        assert "it holds no steps at all" in refused.err
        assert "--store" in refused.err
    assert not Path(wrong).exists()
    assert len(index.log) == before


def test_what_a_store_holds_instead_is_told(container: Workplace, bundled: Workplace, tmp_path: Path) -> None:
    here = host_platform()
    refused = container.fails(1, "hydrate", "report", "--store", str(bundled.store))
    assert f"it holds train on {here} for this lock" in refused.err
    container.lock.write_text(container.lock.read_text() + "# another lock\n")
    refused = container.fails(1, "hydrate", "train", "--store", str(bundled.store))
    assert f"it holds train on {here} for 1 other lock" in refused.err
    container.manifest.write_text(container.manifest.read_text().replace('name = "demo"', 'name = "other"'))
    refused = container.fails(1, "hydrate", "train", "--frozen", "--store", str(bundled.store))
    assert "it holds nothing of project other, but of demo" in refused.err


@pytest.mark.parametrize("code", ['"*.py"', '"src", "*.py"'])
def test_declared_code_that_is_not_here_shows_a_wrong_store_too(
    code: str, container: Workplace, bundled: Workplace, tmp_path: Path, index: IndexServer
) -> None:
    (container.checkout / "other.py").touch()
    (bundled.checkout / "src").mkdir()
    (bundled.checkout / "src/x").touch()
    text = MANIFEST.replace('run = "python main.py train"', f'run = "python main.py train"\ncode = [{code}]')
    container.write(text)
    before = len(index.log)
    assert "the code of the step is not here either" in container.fails(1, "run", "train", "--store", "wrong").err
    assert len(index.log) == before


def test_an_index_that_cannot_be_reached_does_not_hide_that_the_store_is_the_wrong_one(
    container: Workplace, bundled: Workplace, index: IndexServer
) -> None:
    shutil.copy(bundled.checkout / "main.py", container.checkout)
    for more in (("--offline",), ()):
        refused = container.fails(1, "run", "train", *more, ENVC_INDEX_URL="http://127.0.0.1:9/simple/")
        assert f"{container.store}: does not hold train on {host_platform()} as it is locked" in refused.err
        assert "and it cannot be bundled here: " in refused.err


def test_a_web_store_that_lacks_a_step_is_not_filled(container: Workplace, bundled: Workplace, tmp_path: Path) -> None:
    shutil.copy(bundled.checkout / "main.py", container.checkout)
    (tmp_path / "empty").mkdir()
    with FolderServer(tmp_path / "empty") as server:
        refused = container.fails(1, "run", "train", "--store", server.url)
    assert f"does not hold train on {host_platform()} as it is locked" in refused.err
    assert "can only be read" in refused.err


def test_with_its_code_at_hand_a_step_is_bundled_into_a_new_store(bundled: Workplace, tmp_path: Path) -> None:
    assert bundled.ok("run", "train", "--store", str(tmp_path / "new")).out == "step train alpha 1.1 hello there\n"


class Refusing(Server):
    """An S3 server that refuses every request."""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        code = "RequestTimeTooSkewed"
        return 403, {}, b"" if method == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()


@pytest.mark.parametrize("client", ["obstore", "s3fs"])
def test_a_bucket_that_refuses_says_why(client: str, bundled: Workplace, tmp_path: Path) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed")
    (tmp_path / "config").write_text("[profile work]\nregion = us-east-1\n")
    with Refusing() as server:
        bundled.env |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "words", "AWS_ENDPOINT_URL": server.url}
        bundled.env |= {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_REGION": "us-east-1"}
        if client == "s3fs":
            bundled.env["AWS_PROFILE"] = "work"
        for arguments in (("hydrate", "train"), ("run", "train"), ("bundle", "--step", "train")):
            refused = bundled.fails(1, *arguments, "--store", "s3://bucket/team")
            assert "RequestTimeTooSkewed (the clock of this machine differs too much from the store's)" in refused.err
            assert "hint: set the clock of this machine" in refused.err


# the code


def test_a_container_without_the_code_is_told_to_run_the_bundled_code(container: Workplace, bundled: Workplace) -> None:
    refused = container.fails(1, "run", "train", "--store", str(bundled.store))
    assert f"step train starts main.py, which is not in {container.checkout}" in refused.err
    assert "envc run --from-store train" in refused.err
    done = container.ok("run", "train", "--from-store", "--store", str(bundled.store))
    assert done.out == "step train alpha 1.1 hello there\n"


@pytest.mark.parametrize(
    ("command", "starts"),
    [
        (("python", "fit.py", "x"), "fit.py"),
        (("python3", "-X", "utf8", "-u", "fit.py"), "fit.py"),
        (("./fit.sh",), "./fit.sh"),
        (("bin/fit",), "bin/fit"),
        (("bash", "-o", "errexit", "fit.sh"), "fit.sh"),
        (("python", "-c", "print('ran')", "fit.py"), None),
        (("python", "-Ic", "print('ran')", "fit.py"), None),
        (("sh", "-ec", "echo ran", "fit.sh"), None),
        (("echo", "ran", "fit.py"), None),
    ],
)
def test_commands_that_start_a_file_of_the_project(
    command: tuple[str, ...], starts: str | None, container: Workplace, bundled: Workplace
) -> None:
    arguments = ("run", "train", "--store", str(bundled.store), "--", *command)
    if starts is None:
        assert container.ok(*arguments).out.startswith("ran")
    else:
        assert f"step train starts {starts}, which is not in" in container.fails(1, *arguments).err


def test_a_file_that_an_earlier_step_writes_need_not_exist_yet(workplace: Workplace) -> None:
    write = "python -c \\\"open('made.py', 'w').write('print(1)')\\\""
    text = MANIFEST.replace("python main.py prepare", write).replace("python main.py train", "python made.py")
    workplace.write(text, main__py="")
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    assert workplace.ok("run", "--needs", "train").out.endswith("1\n")
