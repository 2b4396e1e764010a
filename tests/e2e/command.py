"""Runs the installed `envc` command in an isolated folder, with settings that point only there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import msgspec

from envc.shipping.machine.interpreter import this_python

ENVC = Path(sysconfig.get_path("scripts")) / ("envc.exe" if sys.platform == "win32" else "envc")


class Done(msgspec.Struct, frozen=True):
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Workplace:
    """A checkout with a manifest, a cache and a store, each in its own folder."""

    def __init__(self, folder: Path, index: str | None) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        self.cache = folder / "cache"
        self.store = folder / "store"
        self.checkout.mkdir(parents=True, exist_ok=True)
        kept = ("PATH", "SYSTEMROOT", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")
        self.env = {key: os.environ[key] for key in kept if key in os.environ}
        self.env |= {
            "HOME": str(folder / "home"),
            "PIP_CONFIG_FILE": os.devnull,
            "ENVC_CACHE_DIR": str(self.cache),
            "ENVC_STORE": str(self.store),
            "ENVC_NOW": "2026-06-01T00:00:00Z",
            "ENVC_PYTHON": sys.executable,
        }
        if index is not None:
            self.env["ENVC_INDEX_URL"] = index

    @property
    def manifest(self) -> Path:
        return self.checkout / "manifest.toml"

    @property
    def lock(self) -> Path:
        return self.checkout / "manifest.lock"

    def write(self, manifest: str, **files: str) -> None:
        """Write the manifest, and files named with ``__`` for a dot: ``main__py="…"``."""
        self.manifest.write_text(manifest)
        for name, text in files.items():
            path = self.checkout / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, *arguments: str, cwd: Path | None = None, **env: str) -> Done:
        done = subprocess.run(
            [str(ENVC), *arguments],
            cwd=cwd or self.checkout,
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, cwd: Path | None = None, **env: str) -> Done:
        """Run a command that must succeed."""
        done = self.run(*arguments, cwd=cwd, **env)
        assert done.code == 0, done.err + done.out
        return done

    def fails(self, code: int, *arguments: str, **env: str) -> Done:
        """Run a command that must end with that exit code."""
        done = self.run(*arguments, **env)
        assert done.code == code, f"{done.code}\n{done.err}\n{done.out}"
        return done


HOST_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def host_platform() -> str:
    """Return the platform of the machine that runs the tests."""
    return this_python().platform
