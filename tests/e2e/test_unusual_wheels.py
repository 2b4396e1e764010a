"""Wheels that are not as the specification demands, and that installers take: through lock, bundle and run."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer
from tests.support.wheels import Distribution, build_wheel

posix = pytest.mark.skipif(sys.platform == "win32", reason="scripts of Windows are programs")


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        yield server


def write(workplace: Workplace, project: str, run: str, *, target: str | None = None, policy: str = "") -> None:
    workplace.write(
        f'[project]\nname = "demo"\ntargets = ["{target or host_platform()}"]\npython = "{HOST_PYTHON}"\n'
        f'[steps.use]\npypi = {project}\nrun = "{run}"\n{policy}'
    )


def with_record(wheel: Distribution, pattern: bytes, replacement: bytes) -> Distribution:
    """Return the wheel with another RECORD."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("/RECORD"):
                data, count = re.subn(pattern, replacement, data)
                assert count
            new.writestr(info, data)
    return msgspec.structs.replace(wheel, data=buffer.getvalue())


FILES = {"demo/__init__.py": "ANSWER = 42\n", "demo/native.so": "\x7fELF"}
STRICT = '[policy]\nrecord = "strict"\n'


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (rb"demo/native\.so[^\n]*\n", b"", "does not list demo/native.so"),
        (rb"demo/native\.so[^\n]*\n", b"demo/native.so,,\n", "states no digest of demo/native.so"),
        (rb"(?=demo/native)", b"./", "spells oddly ./demo/native.so"),
        (rb"\Z", b"demo/,,\ndemo/absent.py,,\n", "lists a file that is absent, demo/absent.py; lists the folder demo/"),
    ],
    ids=["a file that is not listed", "a file without a digest", "an odd path", "a folder and an absent file"],
)
def test_a_record_that_installers_ignore_is_a_warning_and_an_error_only_if_asked(
    pattern: bytes, replacement: bytes, fault: str, workplace: Workplace, index: IndexServer
) -> None:
    index.add(with_record(build_wheel("demo", files=FILES), pattern, replacement))
    write(workplace, '["demo"]', "python -c 'import demo; print(demo.ANSWER)'")
    workplace.ok("lock")
    done = workplace.ok("bundle")
    assert f"demo-1.0-py3-none-any.whl: its RECORD {fault} (accepted" in done.err
    assert workplace.ok("run", "use").out == "42\n"
    assert "RECORD" not in workplace.ok("bundle").err  # said when the object is made

    # Nothing in the lock depends on the policy, and an object that was made without it does not count.
    write(workplace, '["demo"]', "python -c 'import demo; print(demo.ANSWER)'", policy=STRICT)
    assert "unchanged" in workplace.ok("lock").err
    refused = workplace.fails(1, "bundle")
    assert f"demo-1.0-py3-none-any.whl cannot be installed: its RECORD {fault.partition(';')[0]}" in refused.err
    assert "remove `record` from [policy]" in refused.err


def test_the_strict_policy_does_not_trust_contents_that_a_lock_records(
    workplace: Workplace, index: IndexServer
) -> None:
    index.add(with_record(build_wheel("demo", files=FILES), rb"demo/native\.so[^\n]*\n", b""))
    index.add(build_wheel("good"))
    write(workplace, '["demo"]', "python -c 'import demo'")
    workplace.ok("lock")
    workplace.ok("bundle", "--record")
    write(workplace, '["demo"]', "python -c 'import demo'", policy=STRICT)
    for arguments in (["bundle"], ["bundle", "--trust-store"], ["bundle", "--record"]):
        assert "its RECORD does not list demo/native.so" in workplace.fails(1, *arguments).err
    write(workplace, '["good"]', "python -c 'import good'", policy=STRICT)
    workplace.ok("lock")
    assert "1 new object" in workplace.ok("bundle").err
    assert "0 new objects" in workplace.ok("bundle").err


def test_a_wrong_digest_in_record_stays_an_error(workplace: Workplace, index: IndexServer) -> None:
    index.add(with_record(build_wheel("demo", files=FILES), rb"(demo/native\.so),sha256=....", rb"\1,sha256=AAAA"))
    write(workplace, '["demo"]', "python -c 'import demo'")
    workplace.ok("lock")
    assert "demo/native.so does not match its digest in RECORD" in workplace.fails(1, "bundle").err


@posix
def test_one_odd_script_name_costs_neither_the_wheel_nor_the_other_scripts(
    workplace: Workplace, index: IndexServer
) -> None:
    index.add(build_wheel("demo", entry_points={"console_scripts": {"app:hi": "demo:main", "a/b": "demo:main"}}))
    write(workplace, '["demo"]', "app:hi")
    workplace.ok("lock")
    done = workplace.ok("bundle")
    assert "demo-1.0-py3-none-any.whl: its script 'a/b' is not made, because no file can have this name" in done.err
    assert "app:hi" not in done.err
    assert workplace.ok("run", "use").out == "demo\n"

    write(workplace, '["demo"]', "app:hi", target="win-64")
    workplace.ok("lock")
    assert "its script 'app:hi' is not made" in workplace.ok("bundle").err


@posix
def test_the_help_of_a_script_is_its_own(workplace: Workplace, index: IndexServer) -> None:
    script = (
        '#!python\n"""Count words."""\nfrom __future__ import annotations\nimport argparse\n'
        "argparse.ArgumentParser(description=__doc__).parse_args()\n"
    )
    index.add(build_wheel("demo", files={"demo.py": "", "demo-1.0.data/scripts/count": script}))
    write(workplace, '["demo"]', "count --help")
    workplace.ok("lock")
    out = workplace.ok("run", "use").out
    assert out.startswith("usage: count [-h]\n\nCount words.\n\n")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take such names for one")
def test_names_that_differ_in_case_are_two_files_on_linux_and_refused_elsewhere(
    workplace: Workplace, index: IndexServer
) -> None:
    index.add(build_wheel("demo", files={"demo.py": "", "terms/E.py": "N = 'E'\n", "terms/e.py": "N = 'e'\n"}))
    run = "python -c 'from terms import E, e; print(E.N, e.N)'"
    write(workplace, '["demo"]', run)
    workplace.ok("lock")
    workplace.ok("bundle")
    assert workplace.ok("run", "use").out == "E e\n"
    for target, reason in (("osx-arm64", "demo 1.0 cannot be used on osx-arm64"), ("win-64", "cannot be installed")):
        write(workplace, '["demo"]', run, target=target)
        workplace.ok("lock")
        refused = workplace.fails(1, "bundle").err
        assert reason in refused and "only in case" in refused


@pytest.mark.parametrize("target", ["osx-arm64", "win-64"])
def test_packages_whose_paths_differ_in_case_share_them_where_case_is_ignored(
    target: str, workplace: Workplace, index: IndexServer
) -> None:
    """As pycrypto and crypto do."""
    index.add(build_wheel("pycrypto", files={"Crypto/__init__.py": "A = 1\n", "Crypto/Hash.py": "", "X/one.py": ""}))
    index.add(build_wheel("crypto", files={"crypto/__init__.py": "B = 1\n", "crypto/cli.py": "", "x/two.py": ""}))
    write(workplace, '["pycrypto", "crypto"]', "python -V", target=target)
    workplace.ok("lock")
    done = workplace.ok("bundle")
    site = "Lib/site-packages" if target == "win-64" else f"lib/python{HOST_PYTHON}/site-packages"
    used = f"crypto and pycrypto both contain {site}/crypto/__init__.py; the one from pycrypto is used"
    assert used in done.err
    folders = f"crypto and pycrypto have the folders {site}/crypto and {site}/Crypto, which are one on {target}"
    assert folders in done.err

    write(workplace, '["pycrypto", "crypto"]', "python -V", target="linux-64")
    workplace.ok("lock")
    assert "both contain" not in workplace.ok("bundle").err


def test_a_file_and_a_folder_whose_names_differ_in_case_cannot_be_joined(
    workplace: Workplace, index: IndexServer
) -> None:
    index.add(build_wheel("one", files={"Data": "", "one.py": ""}))
    index.add(build_wheel("two", files={"data/x.txt": "", "two.py": ""}))
    write(workplace, '["one", "two"]', "python -V", target="osx-arm64")
    workplace.ok("lock")
    assert "one contains the file" in workplace.fails(1, "bundle").err
    write(workplace, '["one", "two"]', "python -V", target="linux-64")
    workplace.ok("lock")
    workplace.ok("bundle")


BAD = build_wheel("demo", entry_points={"console_scripts": {"demo": "not a reference"}})
TWINS = build_wheel("demo", files={"demo.py": "", "terms/E.py": "", "terms/e.py": ""})
INCOMPLETE = with_record(build_wheel("demo", files=FILES), rb"demo/native\.so[^\n]*\n", b"")


@pytest.mark.parametrize("source", ["folder", "path", "url", "index without digests"])
@pytest.mark.parametrize(
    ("wheel", "target", "policy", "reason"),
    [
        (BAD, "linux-64", "", "cannot be installed: the entry point demo refers to 'not a reference'"),
        (TWINS, "osx-arm64", "", "demo 1.0 cannot be used on osx-arm64"),
        (INCOMPLETE, "linux-64", STRICT, "cannot be installed: its RECORD does not list demo/native.so"),
        (INCOMPLETE, "linux-64", "", None),
    ],
    ids=["bad", "twins", "strict", "warned of"],
)
def test_what_bundle_would_refuse_is_refused_by_lock_if_it_reads_the_wheel(
    source: str, wheel: Distribution, target: str, policy: str, reason: str | None, tmp_path: Path, index: IndexServer
) -> None:
    workplace = Workplace(tmp_path, index.url)
    wheels = workplace.checkout / "wheels"
    wheels.mkdir()
    requirement = '"demo"'
    project = ""
    if source == "folder":
        wheel.write(wheels)
        project = 'indexes = ["local"]\n[sources.local]\nkind = "find-links"\nurl = "wheels"\n'
    elif source == "path":
        wheel.write(wheels)
        requirement = f'{{ name = "demo", path = "wheels/{wheel.file}" }}'
    else:
        index.add(wheel)
        index.behaviour.hashes = False
        if source == "url":
            requirement = f'{{ name = "demo", url = "{index.base}/files/{wheel.file}" }}'
    workplace.write(
        f'[project]\nname = "demo"\ntargets = ["{target}"]\npython = "{HOST_PYTHON}"\n{project}'
        f"[steps.use]\npypi = [{requirement}]\n{policy}"
    )
    if reason is None:
        assert "its RECORD does not list demo/native.so (accepted" in workplace.ok("lock").err
        assert workplace.lock.exists()
    else:
        assert reason in workplace.fails(1, "lock").err
        assert not workplace.lock.exists()


@pytest.mark.network
@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        ("selenium==4.1.0", "does not list selenium/__init__.py and 297 more"),
        ("fmpy==0.3.15", "does not list fmpy/"),
        ("mkdocstrings-python-xref==1.6.2", ""),
        ("kolo==2.28.0", ""),
    ],
)
def test_published_wheels_that_pip_and_uv_install_are_bundled(requirement: str, fault: str, tmp_path: Path) -> None:
    workplace = Workplace(tmp_path, None)
    overrides = "[overrides]\npypi = [\"lxml; python_version < '3'\", \"jinja2; python_version < '3'\"]\n"
    write(workplace, f'["{requirement}"]', "python -V", target="linux-64", policy=overrides)
    workplace.ok("lock", ENVC_NOW="2026-11-01T00:00:00Z")
    assert fault in workplace.ok("bundle").err
