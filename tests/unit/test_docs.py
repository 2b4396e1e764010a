"""The files, names and links in the documentation exist, and every module opens with a sentence."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"envc": ROOT / "compiler" / "envc", "envc_solvers": ROOT / "solvers" / "envc_solvers"}
MODULES = sorted(file for package in PACKAGES.values() for file in package.rglob("*.py"))
DOCS = sorted(
    file
    for pattern in ("*.md", ".github/*.md", "compiler/*.md", "solvers/*.md", "tests/benchmarks/*.md")
    for file in ROOT.glob(pattern)
)
FOREIGN = {"setup.py", "oracle.py"}  # of other projects
FOLDERS = {
    folder.name
    for top in (ROOT, *PACKAGES.values())
    for folder in top.iterdir()
    if folder.is_dir() and not (folder / "pyvenv.cfg").exists()  # no virtual environment of a user
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?P<path>[\w./-]+)(?:: (?P<names>[\w., ]+))?")
DOTTED = re.compile(r"(?:python -m )?(?P<name>(?:envc|envc_solvers|tests)(?:\.\w+)+)\b.*")


def prose(file: Path) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", file.read_text(encoding="utf-8"))


def snippets(file: Path) -> list[str]:
    """What stands between backticks in a document."""
    return CODE.findall(prose(file))


@cache
def tree() -> dict[str, list[str]]:
    """Every file that a document may name, written ``/tests/unit/test_docs.py/``, under each part of its path."""
    tops = [ROOT / name for name in (".ci", ".github", "compiler", "examples", "schemas", "solvers", "tests")]
    found: dict[str, list[str]] = {}
    for file in sorted([*ROOT.iterdir(), *(file for top in tops for file in top.rglob("*"))]):
        if file.is_file() and "__pycache__" not in file.parts:
            path = file.relative_to(ROOT)
            for part in path.parts:
                found.setdefault(part, []).append(f"/{path.as_posix()}/")
    return found


def named(path: str) -> list[Path]:
    """The files that a document means by the path of a file, module or folder: from the top, or from any folder."""
    meant = [path.rstrip("/") + suffix for suffix in ("", ".py")]
    places = [(f"/{each}/", tree().get(each.rpartition("/")[2], [])) for each in meant]
    return [ROOT / file.strip("/") for inside, files in places for file in files if inside in file]


def is_path(text: str) -> bool:
    """Whether a snippet names a file or folder of the repository. A file name in capitals is a placeholder."""
    parts = text.split("/")
    is_here = text.endswith((".py", ".md")) or (len(parts) > 1 and parts[0] in FOLDERS)
    is_any = parts[-1].endswith(".py") and Path(parts[-1]).stem.isupper()
    return is_here and not is_any and text not in FOREIGN


def defines(file: Path, name: str) -> bool:
    """Whether a module defines a function, class or value, or as ``Class.name`` a method or field of a class."""
    text, (outer, _, inner) = file.read_text(encoding="utf-8"), name.partition(".")
    if not inner:
        return bool(re.search(rf"^(?:def {outer}\b|class {outer}\b|{outer}(?:: [^=\n]+)? =)", text, re.MULTILINE))
    body = re.search(rf"^class {outer}\b.*?(?=^[\w@#]|\Z)", text, re.MULTILINE | re.DOTALL)
    return bool(body and re.search(rf"^    (?:def {inner}\b|{inner}:)", body[0], re.MULTILINE))


def is_defined(dotted: str) -> bool:
    """Whether ``envc.some.module``, or a name of such a module, exists."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        place = PACKAGES.get(parts[0], ROOT / parts[0]).joinpath(*parts[1:count])
        rest = ".".join(parts[count:])
        if place.with_suffix(".py").is_file():
            return not rest or defines(place.with_suffix(".py"), rest)
        if place.is_dir():
            init = place / "__init__.py"
            return not rest or (init.is_file() and defines(init, rest))
    return False


def anchors(file: Path) -> set[str]:
    """The fragments that links may have, one for each heading, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_wrong_name_is_found() -> None:
    assert named("shipping/unpack/wheel.py") and not named("shipping/unpack/whee.py")
    blobs = PACKAGES["envc"] / "shipping" / "store" / "blobs.py"
    assert all(defines(blobs, name) for name in ("Blobs", "Blobs.read_range", "Listed.size"))
    assert not any(defines(blobs, name) for name in ("Blob", "Blobs.read_rang", "Listed.read_range", "Callable"))
    assert defines(PACKAGES["envc"] / "cli" / "verbs.py", "VERBS")
    assert is_defined("envc.errors.EnvcError") and is_defined("envc.shipping.store")
    assert not is_defined("envc.errors.NoSuchName") and not is_defined("envc.no_such_module")


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.relative_to(ROOT).as_posix())
def test_files_and_names_exist(doc: Path) -> None:
    """`folder/file.py`, `folder/file.py: name` and `envc.some.module.name`, wherever a document has them."""
    wrong = []
    for snippet in snippets(doc):
        if (found := FILE.fullmatch(snippet)) and is_path(found["path"]):
            files = named(found["path"])
            names = found["names"].split(", ") if found["names"] else []
            if not files or not all(any(defines(file, name) for file in files) for name in names):
                wrong.append(snippet)
        elif (dotted := DOTTED.fullmatch(snippet)) and not is_defined(dotted["name"]):
            wrong.append(snippet)
    assert wrong == []


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(doc: Path) -> None:
    wrong = []
    for link in LINK.findall(prose(doc)):
        path, _, fragment = link.partition("#")
        target = (doc.parent / path).resolve() if path else doc
        if "://" in link:
            continue
        is_there = target.exists() and target.is_relative_to(ROOT)
        if not is_there or (fragment and fragment not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.relative_to(ROOT).as_posix())
def test_python_examples_import_existing_names(doc: Path) -> None:
    wrong = []
    for language, text in FENCE.findall(doc.read_text(encoding="utf-8")):
        nodes = ast.walk(ast.parse(text)) if language == "python" else ()
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                wrong += [name for name in names if name.split(".")[0] in PACKAGES and not is_defined(name)]
    assert wrong == []


def test_no_text_cites_a_document_that_is_not_in_the_repository() -> None:
    """Documents and sources: each NAME.md is a file, and nothing points to a design outside."""
    wrong = []
    for file in [*DOCS, *MODULES]:
        text = file.read_text(encoding="utf-8")
        cited = {name for name in re.findall(r"\b[A-Z][A-Z_]+\.md\b", text) if not named(name)}
        wrong += [f"{file.relative_to(ROOT)}: {name}" for name in sorted(cited)]
        wrong += [f"{file.relative_to(ROOT)}: {name}" for name in re.findall(r"\bDESIGN\b.{0,20}", text)]
    assert wrong == []


def test_every_module_opens_with_a_sentence() -> None:
    """One line, up to a full stop, a colon or a question mark."""
    wrong = []
    for file in MODULES:
        opening = re.match(r'"""(.*)', file.read_text(encoding="utf-8"))
        line = opening[1].removesuffix('"""').rstrip() if opening else ""
        if not line.endswith((".", ":", "?")):
            wrong.append(f"{file.relative_to(ROOT)}: {line}")
    assert wrong == []


def test_the_architecture_names_every_package() -> None:
    """Each package of the compiler and of the solvers stands in ``compiler/README.md``."""
    text = (ROOT / "compiler" / "README.md").read_text(encoding="utf-8")
    packages = {
        file.parent.relative_to(package) for package in PACKAGES.values() for file in package.rglob("__init__.py")
    }
    assert [str(path) for path in sorted(packages) if not re.search(rf"\b{path.name or 'envc'}/", text)] == []


def test_the_guide_names_every_verb_and_every_marker() -> None:
    from envc.cli.verbs import VERBS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    guide = (ROOT / "compiler" / "README.md").read_text(encoding="utf-8")
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert [verb for verb in VERBS if f"`envc {verb}" not in readme] == []
    assert [
        name for name, _, _ in (line.partition(":") for line in markers["markers"]) if f"`{name}`" not in guide
    ] == []
