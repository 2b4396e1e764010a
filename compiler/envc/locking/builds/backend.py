"""The build backend of a project: its requirements, and its hooks, run by a separate interpreter (PEP 517, 518)."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from envc.locking.builds.errors import BadSource, BuildFailed
from envc.locking.builds.origin import Origin
from envc.model.record import MTIME
from envc_solvers.malformed import malformed, reason_of

# A project without a [build-system] is built by setuptools in the legacy way (PEP 517, "Source trees").
_LEGACY = ("setuptools.build_meta:__legacy__", ("setuptools>=40.8.0",))
# The variables that a compiler and related tools need. The backend gets no others.
_PASSED = (
    "PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "WINDIR", "PROCESSOR_ARCHITECTURE",
    "NUMBER_OF_PROCESSORS", "PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMDATA", "VCINSTALLDIR", "VSINSTALLDIR",
    "INCLUDE", "LIB", "LIBPATH",
    "CC", "CXX", "CPP", "AR", "LD", "FC", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "FFLAGS", "MAKEFLAGS",
    "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH", "CMAKE_ARGS", "LIBRARY_PATH", "CPATH", "LD_LIBRARY_PATH",
    "MACOSX_DEPLOYMENT_TARGET", "SDKROOT", "DEVELOPER_DIR", "ARCHFLAGS", "CARGO_HOME", "RUSTUP_HOME", "RUSTFLAGS",
    "TMPDIR", "TEMP", "TMP",
)  # fmt: skip


class BuildSystem(msgspec.Struct, frozen=True):
    """The ``[build-system]`` table of a project."""

    backend: str
    requires: tuple[str, ...]  # as written
    path: tuple[str, ...] = ()  # folders of the project that hold the backend itself


class _Table(msgspec.Struct, rename="kebab"):
    requires: list[str]
    build_backend: str = _LEGACY[0]
    backend_path: list[str] = []


def build_system(origin: Origin) -> BuildSystem:
    """The build system of a project. Raises BadSource if it is not declared, or not in a valid form."""
    import tomli

    text = origin.read("pyproject.toml")
    if text is None:
        if origin.read("setup.py") is None and origin.read("setup.cfg") is None:
            raise BadSource(origin.label, "it holds neither pyproject.toml nor setup.py", "correct `subdirectory`")
        return BuildSystem(*_LEGACY)
    try:
        document: Any = tomli.loads(text.decode("utf-8"))
        if "build-system" not in document:
            return BuildSystem(*_LEGACY)
        table = msgspec.convert(document["build-system"], _Table)
    except malformed() as error:
        raise BadSource(origin.label, f"its [build-system] table is invalid: {reason_of(error)}") from None
    return BuildSystem(table.build_backend, tuple(table.requires), tuple(table.backend_path))


class Backend:
    """The hooks of one project. They run in the folder of its sources."""

    def __init__(self, what: str, project: Path, system: BuildSystem, environ: Mapping[str, str], home: Path) -> None:
        self._what = what
        self._project = project
        self._system = system
        self._environ = environ
        self._home = home  # an empty folder

    def requires(self, prefix: Path) -> tuple[str, ...]:
        """The requirements that the backend adds to those of the project (``get_requires_for_build_wheel``)."""
        step = "get_requires_for_build_wheel"
        result = self._call(prefix, step, lambda hooks: hooks.get_requires_for_build_wheel())
        if not isinstance(result, list) or not all(isinstance(each, str) for each in result):
            raise BuildFailed(self._what, step, "it did not return a list of requirements")
        return tuple(result)

    def wheel(self, prefix: Path, folder: Path) -> Path:
        """Build the wheel into a folder. Raises BuildFailed."""
        name = self._call(prefix, "build_wheel", lambda hooks: hooks.build_wheel(str(folder)))
        wheel = folder / Path(str(name)).name
        if not wheel.is_file():
            raise BuildFailed(self._what, "build_wheel", "it made no wheel")
        return wheel

    def _call(self, prefix: Path, step: str, hook: Callable[[Any], Any]) -> Any:
        from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller, HookMissing

        output: list[str] = []
        hooks = BuildBackendHookCaller(
            str(self._project),
            self._system.backend,
            backend_path=self._system.path or None,
            runner=self._runner(prefix, output),
            python_executable=str(_python(prefix)),
        )
        try:
            # Warnings of a backend are for the authors of the project.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return hook(hooks)
        except BackendUnavailable as error:
            raise BuildFailed(
                self._what, step, f"{error.traceback}\nthe backend {self._system.backend} cannot be imported"
            ) from None
        except HookMissing:
            raise BuildFailed(self._what, step, f"the backend {self._system.backend} has no {step}") from None
        except (ValueError, TypeError) as error:  # a backend-path outside the project; a result of the wrong type
            raise BuildFailed(self._what, step, str(error)) from None
        except FileNotFoundError:  # the file with the result
            raise BuildFailed(self._what, step, "".join([*output, "\nit ended without a result"])) from None
        except _Failed:
            raise BuildFailed(self._what, step, "".join(output)) from None

    def _runner(self, prefix: Path, output: list[str]) -> Callable[..., None]:
        def run(command: list[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
            import subprocess

            done = subprocess.run(
                command,
                cwd=cwd,
                env={**self._variables(prefix), **(extra_environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                umask=0o022 if os.name == "posix" else -1,
            )
            output.append(done.stdout.decode("utf-8", errors="replace"))
            if done.returncode:
                raise _Failed

        return run

    def _variables(self, prefix: Path) -> dict[str, str]:
        kept = {key: self._environ[key] for key in _PASSED if key in self._environ}
        path = f"{_python(prefix).parent}{os.pathsep}{kept.get('PATH') or os.defpath}"
        # The folder differs from build to build, and compilers write it into debug information. Build backends split
        # these flags at blanks, so they cannot name a folder with one.
        if os.name == "posix" and not re.search(r"\s", str(self._project)):
            prefix_map = f"-fdebug-prefix-map={self._project}=."
            kept |= {flags: f"{kept.get(flags, '')} {prefix_map}".strip() for flags in ("CFLAGS", "CXXFLAGS")}
        return kept | {
            "PATH": path,
            "HOME": str(self._home),
            "USERPROFILE": str(self._home),
            # The same sources should give the same wheel at any time and place.
            "SOURCE_DATE_EPOCH": str(MTIME),
            "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            # The environment is locked: pip must not install anything into it.
            "PIP_NO_INDEX": "1",
        }


class _Failed(Exception):
    """A hook ended with an error. Its output says why."""


def _python(prefix: Path) -> Path:
    return prefix / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
