"""Makes conda packages with the builders that the package index has, for comparisons.

python conda_builders.py FOLDER TREE,TREE,... [WHEEL ...]

The trees are the keys of `TREES`.

It runs in an environment with py-rattler-build, conda-package-handling and whl2conda. conda-build and conda itself are
not on the index, and boa needs conda-build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LONG = "/".join(["directory-" * 10] * 2)  # more than 200 bytes
_SLOW = ("-large-", "-many-")  # conda-package-handling compresses these for minutes
PLACEHOLDER = "/opt/" + "placehold_" * 24


def plain(folder: Path) -> None:
    write(folder / "bin/tool", "#!/bin/sh\n", mode=0o755)
    write(folder / "share/data", "data\n")


def links(folder: Path) -> None:
    plain(folder)
    (folder / "bin/link").symlink_to("tool")
    (folder / "share/up").symlink_to("../bin/tool")
    (folder / "lib").mkdir()
    write(folder / "lib/libx.so.1.2.3", "x" * 5000, mode=0o755)
    (folder / "lib/libx.so").symlink_to("libx.so.1.2.3")
    (folder / "lib/folder").symlink_to("../share")
    os.link(folder / "bin/tool", folder / "bin/hard")
    os.link(folder / "share/data", folder / "share/hard")


def text_in_many_scripts(folder: Path) -> None:
    for name in ("ünïcödé", "中文", "emoji-😀", "with space", "a+b=c,d;e", "e\u0301"):
        write(folder / "share" / name / name, name)
    (folder / "share/链接").symlink_to("中文/中文")


def long_paths(folder: Path) -> None:
    for length in (99, 100, 101, 155, 156, 200):
        write(folder / f"{'p' * (length - 4)}/abc", str(length))
    write(folder / LONG / ("f" * 100), "long")
    write(folder / LONG / "g" / ("h" * 30), "long")
    (folder / "link-to-long").symlink_to(f"{LONG}/{'f' * 100}")
    (folder / LONG / "link").symlink_to("g/" + "h" * 30)
    os.link(folder / LONG / ("f" * 100), folder / "hard-to-long")


def empty_folders(folder: Path) -> None:
    plain(folder)
    (folder / "var/empty").mkdir(parents=True)
    (folder / "etc/conf.d").mkdir(parents=True)
    write(folder / "share/nothing", "")


def placeholders(folder: Path) -> None:
    write(folder / "bin/script", f"#!{PLACEHOLDER}/bin/python\n", mode=0o755)
    (folder / "lib").mkdir()
    (folder / "lib/binary").write_bytes(b"\x7fELF\0" + PLACEHOLDER.encode() + b"/lib\0" * 3)


def many_files(folder: Path) -> None:
    for number in range(3000):
        write(folder / f"lib/{number % 50:03}/{number}.txt", str(number) * (number % 400))


def large_file(folder: Path) -> None:
    folder.joinpath("lib").mkdir(parents=True)
    (folder / "lib/random").write_bytes(os.urandom(9_000_000))
    (folder / "lib/zeros").write_bytes(bytes(9_000_000))


def modes(folder: Path) -> None:
    for mode in (0o400, 0o444, 0o500, 0o555, 0o600, 0o640, 0o664, 0o700, 0o711, 0o750, 0o775, 0o777, 0o2755, 0o4755):
        write(folder / f"bin/{mode:o}", "x", mode=mode)


TREES: dict[str, Callable[[Path], None]] = {
    "plain": plain,
    "links": links,
    "scripts": text_in_many_scripts,
    "long": long_paths,
    "empty": empty_folders,
    "placeholders": placeholders,
    "many": many_files,
    "large": large_file,
    "modes": modes,
}


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def by_rattler_build(names: list[str], trees: Path, out: Path) -> None:
    from rattler_build import ArchiveType, assemble_package

    for name in names:
        for kind in (ArchiveType.Conda, ArchiveType.TarBz2):
            for level in (1, 9):
                build = f"rb{level}_0"
                assemble_package(
                    name=f"rattler-{name}",
                    version="1.0",
                    target_platform="linux-64",
                    build_string=build,
                    output_dir=out,
                    files_dir=trees / name,
                    archive_type=kind,
                    compression_level=level,
                )


def by_recipes(names: list[str], trees: Path, out: Path) -> None:
    from rattler_build import build_recipes

    for name in names:
        recipe = trees / f"recipe-{name}" / "recipe.yaml"
        recipe.parent.mkdir()
        recipe.write_text(
            f"package: {{name: recipe-{name}, version: '1.0'}}\n"
            "build:\n  number: 0\n  script:\n"
            f"    - cp -a '{trees / name}/.' \"$PREFIX/\"\n"
            '    - mkdir -p "$PREFIX/etc" && echo "prefix=$PREFIX" > "$PREFIX/etc/where"\n'
        )
        for kind in ("conda", "tar-bz2"):
            build_recipes([recipe], output_dir=trees / "recipes", package_format=kind, channel=[], test="skip")
    for path in (trees / "recipes").rglob("recipe-*"):
        if path.name.endswith((".conda", ".tar.bz2")):
            shutil.copy(path, out / path.name)


def by_conda_package_handling(trees: Path, out: Path) -> None:
    cph = Path(sys.executable).with_name("cph")
    for path in sorted(out.glob("rattler-*-rb9_0.conda")):
        if any(name in path.name for name in _SLOW):
            continue
        stem = path.name.removesuffix(".conda").replace("rattler-", "cph-").replace("rb9", "c")
        subprocess.run([cph, "extract", path, "--dest", trees / stem], check=True, capture_output=True)
        index = trees / stem / "info/index.json"
        index.write_text(index.read_text().replace('"rattler-', '"cph-').replace("rb9_0", "c_0"))
        for suffix in (".conda", ".tar.bz2"):
            command = [cph, "create", trees / stem, f"{stem}{suffix}", "--out-folder", out]
            subprocess.run(command, check=True, capture_output=True)
    (out / "transmuted").mkdir()
    for path in sorted(out.glob("rattler-*-rb1_0.*")):
        if any(name in path.name for name in _SLOW):
            continue
        to = ".tar.bz2" if path.suffix == ".conda" else ".conda"
        command = [cph, "transmute", path, to, "--out-folder", out / "transmuted"]
        subprocess.run(command, check=True, capture_output=True)


def by_whl2conda(wheels: list[str], out: Path) -> None:
    program = Path(sys.executable).with_name("whl2conda")
    for wheel in wheels:
        for kind in ("V1", "V2"):
            command = [program, "convert", wheel, "--out-dir", out, "--format", kind, "--overwrite", "--batch"]
            subprocess.run(command, check=True, capture_output=True)


def packages_in(out: Path) -> list[Path]:
    return [*out.glob("*.conda"), *out.glob("*.tar.bz2"), *out.glob("transmuted/*")]


def main() -> None:
    out, names, wheels = Path(sys.argv[1]).absolute(), sys.argv[2].split(","), sys.argv[3:]
    trees = out / "trees"
    trees.mkdir(parents=True)
    for name in names:
        TREES[name](trees / name)
    steps: dict[str, Callable[[], None]] = {
        "rattler-build, assembled": lambda: by_rattler_build(names, trees, out),
        "rattler-build, from recipes": lambda: by_recipes(names, trees, out),
        "conda-package-handling": lambda: by_conda_package_handling(trees, out),
        "whl2conda": lambda: by_whl2conda(wheels, out),
    }
    for builder, step in steps.items():
        before = packages_in(out)
        try:
            step()
        except Exception as error:
            details = getattr(error, "stderr", b"") or b""
            print(f"{builder}: {type(error).__name__} {str(error)[:300]} {details.decode()[-300:]}")
        print(f"{builder}: {len(packages_in(out)) - len(before)} packages")


if __name__ == "__main__":
    main()
