"""Names that are harmless on Linux, and mean something else on Windows or macOS, in layouts that reach them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from envc.model.progress import Silent
from envc.model.record import Member
from envc.shipping.deliver.hydrate import ready_code
from envc.shipping.deliver.pack import StepBundle
from envc.shipping.deliver.path_conflicts import Unportable
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob, UnsafePath
from envc.shipping.format.paths import check_names, check_path, check_tree, fold, rules
from envc.shipping.format.record_rules import check_record
from envc.shipping.prefix import tree
from envc.shipping.store.backends.folder import FolderBlobs
from envc.shipping.unpack.errors import BadWheel
from envc.shipping.unpack.wheel import open_wheel
from envc_solvers.target import Family
from tests.support.conda_environments import bundle_conda
from tests.support.conda_packages import File, build_conda
from tests.support.environments import bundle, environment
from tests.support.wheels import build_wheel

ON_WINDOWS = [
    "share/aux.txt",
    "share/NUL",
    "nul/x.txt",
    "share/com1 .log",
    "share/x.txt:stream",
    "share/x.",
    "share/x /y",
    "share/what?",
    "conda-meta /history",
    "CONDA-~1/history",
    "share/PROGRA~1.TXT",
]
ON_MACOS = ["share/a\u200db.txt", "share/\u200c", "share/c\ufefffg", "lib\u202e/x.py", "share/x\u200b.txt"]
FOREIGN: list[tuple[Family, str]] = [
    *(("windows", path) for path in ON_WINDOWS),
    *(("macos", path) for path in ON_MACOS),
]
PLATFORM: dict[Family, str] = {"windows": "win-64", "macos": "osx-arm64", "linux": "linux-64"}


def name(case: object) -> str:
    return ascii(case)


@pytest.mark.parametrize(("family", "path"), FOREIGN, ids=name)
@pytest.mark.parametrize("subdir", ["noarch", "own"])
def test_a_conda_package_with_a_foreign_name_is_not_bundled_for_that_system(
    subdir: str, family: Family, path: str, tmp_path: Path
) -> None:
    """The files of conda packages are in one layout on all systems."""
    platform = PLATFORM[family]
    package = build_conda(
        "demo",
        files={"share/good.txt": "", path: ""},
        subdir=platform if subdir == "own" else "noarch",
        **({"noarch": "generic"} if subdir == "noarch" else {}),
    )
    store = FolderBlobs(tmp_path / "store")
    if subdir == "noarch":
        bundle_conda(store, tmp_path, package, platform="linux-64")
    with pytest.raises(Unportable, match=rf"demo .* cannot be used on {platform}") as refused:
        bundle_conda(store, tmp_path, package, platform=platform)
    assert repr(path) in refused.value.reason


def test_a_link_to_a_foreign_name_is_not_bundled_for_that_system(tmp_path: Path) -> None:
    files = {"share/a.txt": "", "share/link": File(link="a.txt:stream")}
    package = build_conda("demo", files=files, subdir="win-64")
    with pytest.raises(Unportable, match=r"is a link to 'a\.txt:stream', which is not a valid"):
        bundle_conda(FolderBlobs(tmp_path / "store"), tmp_path, package, platform="win-64")


@pytest.mark.parametrize("path", ON_MACOS, ids=name)
def test_a_wheel_with_a_foreign_name_is_bundled_for_linux_and_not_for_macos(path: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={path: ""})
    for platform in ("linux-64", "osx-arm64"):
        step = StepBundle(step="step", target=platform, environment=environment(wheel, target=platform))
        store = FolderBlobs(tmp_path / "store")
        if platform == "linux-64":
            bundle(store, tmp_path, wheel, steps=(step,))
        else:
            with pytest.raises(Unportable, match="a character that macOS ignores"):
                bundle(store, tmp_path, wheel, steps=(step,))


@pytest.mark.parametrize(("family", "path"), FOREIGN, ids=name)
def test_code_with_a_foreign_name_is_not_bundled_for_that_system(family: Family, path: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo")
    code = (Entry(path=path, content=b"print()\n"),)
    platform = PLATFORM[family]
    step = StepBundle(step="train", target=platform, environment=environment(wheel, target=platform), code=code)
    with pytest.raises(Unportable, match=f"the code of train cannot be used on {platform}"):
        bundle(FolderBlobs(tmp_path / "store"), tmp_path, wheel, steps=(step,))


@pytest.mark.parametrize(("family", "path"), FOREIGN, ids=name)
def test_a_record_from_a_store_with_a_foreign_name_is_refused(family: Family, path: str, tmp_path: Path) -> None:
    """A writer of the store may leave out the check. The record of another system is the same except for its target."""
    package = build_conda("demo", files={path: ""}, subdir="noarch", noarch="generic")
    (honest,) = bundle_conda(FolderBlobs(tmp_path / "store"), tmp_path, package, platform="linux-64").records
    check_record(honest, "the record")
    with pytest.raises(CorruptBlob, match=r"valid file name on Windows|a character that macOS ignores"):
        check_record(msgspec.structs.replace(honest, platform=PLATFORM[family]), "the record")


def test_code_from_a_store_with_a_foreign_name_is_not_written_on_that_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, code = build_wheel("demo"), (Entry(path="nul.py", content=b"print()\n"),)
    store = FolderBlobs(tmp_path / "store")
    step = StepBundle(step="s", target="linux-64", environment=environment(wheel, target="linux-64"), code=code)
    bundled, _ = bundle(store, tmp_path, wheel, steps=(step,))
    (pointer,) = bundled.pointers.values()
    monkeypatch.setattr(tree, "SYSTEM", "windows")
    with pytest.raises(CorruptBlob, match=r"cannot be written on this machine: 'nul\.py'"):
        ready_code(store, pointer, cache=tmp_path / "cache", progress=Silent())


@pytest.mark.parametrize(
    "path",
    [
        "pyvenv.c\u200dfg",
        "bin/pyth\u200con",
        "bin/\ufeffpython3",
        ".en\u200dvc/record.json",
        "PYVENV.CF\u200cG",
    ],
    ids=name,
)
def test_invisible_characters_do_not_hide_a_name_that_is_reserved(path: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={f"demo-1.0.data/data/{path}": ""})
    with pytest.raises(BadWheel), open_wheel(wheel.write(tmp_path), wheel.file, "py3.12-posix"):
        pass


def test_invisible_characters_do_not_make_two_names_of_one(tmp_path: Path) -> None:
    wheel = build_wheel("demo", files={"demo.py": "", "de\u200cmo.py": ""})
    with pytest.raises(BadWheel, match="occurs twice"), open_wheel(wheel.write(tmp_path), wheel.file, "py3.12-posix"):
        pass
    members = [Member("a"), Member("a\u200d")]
    with pytest.raises(UnsafePath):
        check_tree(members, **rules("py3.12-posix"))


COLONS = "share/man/man3/Foo::Bar.3"
GOOD = ["console.txt", "auxiliary/nullify.py", "com10", "a~b.txt", "x~1~", ".hidden", "ü/日本"]


@pytest.mark.parametrize("path", GOOD)
def test_ordinary_names_are_portable(path: str) -> None:
    for family in ("linux", "macos", "windows"):
        check_names([Member(path)], family)  # type: ignore[arg-type]
    check_path(path, windows=True)


def test_a_colon_is_an_ordinary_character_on_macos() -> None:
    check_names([Member(COLONS), Member("l", type="link", link="../a")], "macos")
    assert fold("A\u200db") == fold("ab")


def test_nothing_is_packed_before_the_check(tmp_path: Path) -> None:
    """A refused environment has neither a record nor a pointer."""
    package = build_conda("demo", files={"aux.txt": ""}, subdir="win-64")
    with pytest.raises(Unportable):
        bundle_conda(FolderBlobs(tmp_path / "store"), tmp_path, package, platform="win-64")
    names = {path.relative_to(tmp_path / "store/v1").parts[0] for path in (tmp_path / "store/v1").rglob("*")}
    assert names.isdisjoint({"environments", "steps"})
