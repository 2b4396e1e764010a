"""Search for hostile input that does not end in the declared error of its reader.

``python -m tests.fuzz`` fuzzes every group of readers for a minute; a group shares its time. Names of readers choose
some of them, and each then has the whole time. An input that is found is kept in a folder, and shown with the command
that repeats it. Such an input belongs into ``tests/fuzz/corpus/READER``, whose files the default tests try.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.groups import BY_KEY, GROUPS
from tests.hostile.hostile_values import ALONE, WORDS

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]
LARGEST_SEED = 4096  # bytes; larger ones slow the search down
GRACE = 60  # seconds beyond the time of a search after which its process is ended


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz readers.")
    parser.add_argument("readers", nargs="*", metavar="READER", help="all groups if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each group, or for each named reader")
    parser.add_argument("--jobs", type=int, default=2, help="searches at once")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"), help="folder for inputs that are found")
    parser.add_argument("--input", type=Path, help="only read this file with the named reader")
    options = parser.parse_args()
    unknown = [name for name in options.readers if name not in BY_KEY]
    if unknown:
        parser.error(f"there is no reader {unknown[0]}; the readers are: {', '.join(BY_KEY)}")
    if options.input is not None:
        print(repr(BY_KEY[options.readers[0]].check(options.input.read_bytes())))
        return 0
    if importlib.util.find_spec("atheris") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"fuzzing is skipped: atheris is not installed; it may have no wheel for Python {version} on this system")
        return 0
    searches = [(name, options.seconds) for name in options.readers] or [
        (name, max(1, options.seconds // len(group))) for group in GROUPS for name in group
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        found = sum(pool.map(lambda search: _search(*search, options.crashes.absolute()), searches))
    print(f"{len(searches)} readers, {found} inputs with an unexpected end")
    return 1 if found else 0


def _search(name: str, seconds: int, crashes: Path) -> int:
    """Fuzz one reader. Returns the number of inputs that were found, and prints them with their exceptions."""
    artifacts = crashes / name
    artifacts.mkdir(parents=True, exist_ok=True)
    shm = Path("/dev/shm")  # readers of files are faster there
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        for number, data in enumerate(_seeds(name)):
            (seeds / str(number)).write_bytes(data)
        seeds.with_suffix(".dict").write_text("".join(_dictionary()), encoding="ascii")
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(seeds), str(artifacts), str(seconds)]
        environ = {**os.environ, "TMPDIR": folder}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environ, capture_output=True, timeout=seconds + GRACE, check=False
            )
            output, code = done.stderr.decode(errors="replace"), done.returncode
        except subprocess.TimeoutExpired as error:
            output, code = (error.stderr or b"").decode(errors="replace"), -1
    units = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    tried = f"{int(units[1]):,} inputs" if units else "an unknown number of inputs"
    kept = sorted(artifacts.iterdir())
    if not kept:
        artifacts.rmdir()
    print(f"{name}: {tried} in {seconds} s{'' if not code else f', ended with {code}'}", flush=True)
    for path in kept:
        print(f"  {path.name}: repeat with\n    python -m tests.fuzz {name} --input {path}")
        print("    " + _ending(name, path).replace("\n", "\n    "), flush=True)
    if code and not kept:
        lines = [line for line in output.splitlines() if not line.startswith("INFO: ")]
        print("\n".join(lines[-40:]), flush=True)
    return len(kept) or int(bool(code))


def _seeds(name: str) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in sorted((CORPUS / name).glob("*")))
    yield from BY_KEY[name].samples()
    yield from (data for data in ALONE if len(data) < 200)


def _dictionary() -> Iterator[str]:
    """WORDS in the format of libFuzzer."""
    for number, word in enumerate(WORDS):
        data = word.encode("utf-8", "surrogatepass")
        if 0 < len(data) < 100:
            escaped = "".join(f"\\x{byte:02X}" for byte in data)
            yield f'word{number}="{escaped}"\n'


def _ending(name: str, path: Path) -> str:
    """The last lines of the exception that an input ends in."""
    if not path.name.startswith("crash-"):
        return "it takes too long or too much memory"
    try:
        BY_KEY[name].check(path.read_bytes())
    except BaseException as error:
        return "".join(traceback.format_exception(error)[-4:])[-1500:].rstrip()
    return "it does not end so in this process: a warning, or a limit on memory"


if __name__ == "__main__":
    sys.exit(main())
