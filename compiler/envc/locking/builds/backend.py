"""The build backend of a project: what it asks for, and its hooks run by an interpreter of their own (PEP 517, 518)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from envc.locking.builds.errors import BadSource, BuildFailed
from envc.locking.builds.origin import Origin
from envc.model.record import MTIME

# A project without a [build-system] is built by setuptools in the way of old (PEP 517, "Source trees").
_LEGACY = ("setuptools.build_meta:__legacy__", ("setuptools>=40.8.0",))
# What a compiler and the tools around it need to know of this machine; everything else stays outside.
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
    """What a pyproject.toml says of how its project is built."""

    backend: str
    requires: tuple[str, ...]  # as written
    path: tuple[str, ...] = ()  # folders of the project that hold the backend itself


class _Table(msgspec.Struct, rename="kebab"):
    requires: list[str]
    build_backend: str = _LEGACY[0]
    backend_path: list[str] = []


def build_system(origin: Origin) -> BuildSystem:
    """How a project is built. Raises BadSource for one that does not say it in a way that makes sense."""
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
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise BadSource(origin.label, f"its [build-system] makes no sense: {str(error)[:300]}") from None
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
        """What the backend asks for besides what the project says (``get_requires_for_build_wheel``)."""
        step = "get_requires_for_build_wheel"
        asked = self._call(prefix, step, lambda hooks: hooks.get_requires_for_build_wheel())
        if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
            raise BuildFailed(self._what, step, "it did not answer with a list of requirements")
        return tuple(asked)

    def wheel(self, prefix: Path, folder: Path) -> Path:
        """Build the wheel into a folder. Raises BuildFailed."""
        name = self._call(prefix, "build_wheel", lambda hooks: hooks.build_wheel(str(folder)))
        wheel = folder / Path(str(name)).name
        if not wheel.is_file():
            raise BuildFailed(self._what, "build_wheel", "it left no wheel")
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
            # What a backend wants to tell authors of the project it tells whoever uses it too; that is noise here.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return hook(hooks)
        except BackendUnavailable as error:
            raise BuildFailed(
                self._what, step, f"{error.traceback}\nthe backend {self._system.backend} is not there"
            ) from None
        except HookMissing:
            raise BuildFailed(self._what, step, f"the backend {self._system.backend} has no {step}") from None
        except (ValueError, TypeError) as error:  # a backend-path outside of the project; an answer of a wrong type
            raise BuildFailed(self._what, step, str(error)) from None
        except FileNotFoundError:  # where an answer should be
            raise BuildFailed(self._what, step, "".join([*output, "\nit ended without an answer"])) from None
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
        if os.name == "posix":
            # The folder is another one each time, and compilers write it into debug information.
            elsewhere = f"-fdebug-prefix-map={self._project}=."
            kept |= {flags: f"{kept.get(flags, '')} {elsewhere}".strip() for flags in ("CFLAGS", "CXXFLAGS")}
        return kept | {
            "PATH": path,
            "HOME": str(self._home),
            "USERPROFILE": str(self._home),
            # The same sources shall give the same wheel, whenever and wherever.
            "SOURCE_DATE_EPOCH": str(MTIME),
            "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            # An environment that was locked is all there is: nothing may be fetched into it.
            "PIP_NO_INDEX": "1",
        }


class _Failed(Exception):
    """A hook ended with an error; what it wrote says why."""


def _python(prefix: Path) -> Path:
    return prefix / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
