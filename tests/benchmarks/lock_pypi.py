"""lock-pypi: `envc lock` warm, one target and four, beside `uv pip compile --offline` at the same cut-off."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measure import (
    TARGETS,
    alternate,
    benchmark_sets,
    clean_environment,
    median,
    program,
    timed,
    versions,
)


def manifest(requirements: list[str], targets: list[str], python: str, cutoff: str) -> str:
    quoted = ", ".join(f'"{target}"' for target in targets)
    lines = "".join(f'  "{requirement}",\n' for requirement in requirements)
    return (
        f'[project]\nname = "benchmark"\ntargets = [{quoted}]\npython = "{python}"\nexclude-newer = {cutoff}\n\n'
        f"[steps.all]\npypi = [\n{lines}]\n"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lock-pypi", description=__doc__)
    parser.add_argument("--set", action="append", help="only these sets")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--targets", choices=["1", "4", "both"], default="both")
    chosen = parser.parse_args(arguments)
    data = benchmark_sets()
    envc, uv = program("envc"), program("uv")
    print(versions("envc", "uv", "resolvelib", "packaging"))
    print(f"{'set':12} {'targets':>7} {'envc s':>8} {'uv s':>8} {'ratio':>6}   warm medians of {chosen.runs}")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        env = clean_environment(ENVC_CACHE_DIR=str(base / "envc-cache"), UV_CACHE_DIR=str(base / "uv-cache"))
        for name, content in data["sets"].items():
            if chosen.set and name not in chosen.set:
                continue
            work = base / name
            work.mkdir()
            (work / "requirements.in").write_text("\n".join(content["requirements"]) + "\n")
            expect = (1,) if name == "unsat" else (0,)

            def uv_run(target: str, *flags: str, work: Path = work, expect: tuple[int, ...] = expect) -> float:
                command = [uv, "pip", "compile", "-q", "--no-config", "--only-binary", ":all:", "--generate-hashes"]
                command += ["--python-version", data["python"], "--exclude-newer", data["exclude_newer"], "--upgrade"]
                command += ["--python-platform", data["targets"][target]["uv_platform"], *flags]
                return timed([*command, "requirements.in", "-o", f"{target}.txt"], env, work, expect)

            for count, group in (("1", list(TARGETS)[:1]), ("4", list(TARGETS))):
                if chosen.targets not in (count, "both"):
                    continue
                path = work / f"manifest-{count}.toml"
                platforms = [TARGETS[target] for target in group]
                path.write_text(manifest(content["requirements"], platforms, data["python"], data["exclude_newer"]))

                def envc_run(
                    *flags: str, path: Path = path, work: Path = work, expect: tuple[int, ...] = expect
                ) -> float:
                    path.with_suffix(".lock").unlink(missing_ok=True)
                    return timed([envc, "lock", "--quiet", path.name, *flags], env, work, expect)

                def uv_runs(group: list[str] = group) -> float:
                    return sum(uv_run(target, "--offline") for target in group)

                cold = envc_run()
                for target in group:
                    uv_run(target)
                ours, theirs = alternate(chosen.runs, lambda: envc_run("--offline"), uv_runs)
                ratio = median(ours) / median(theirs)
                print(
                    f"{name:12} {count:>7} {median(ours):8.3f} {median(theirs):8.3f} {ratio:6.2f}   "
                    f"(first, cold run of envc: {cold:.1f} s)",
                    flush=True,
                )
    return 0
