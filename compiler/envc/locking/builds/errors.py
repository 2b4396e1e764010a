"""The errors of builds."""

from __future__ import annotations

import re

from envc.errors import EnvcError, SeveralLines, Unusable

_TAIL = 25  # lines of a failed build that are shown


class BadSource(SeveralLines, Unusable):
    """Sources that cannot be used: a hostile archive, a project without metadata, or the wrong project."""

    def __init__(self, what: str, reason: str, hint: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(what, reason, hint)
        self.details = details  # further lines of the message

    def lines(self) -> tuple[str, ...]:
        return f"{self.what} cannot be used: {self.reason}", *(f"  {line}" for line in self.details)


class BuildFailed(SeveralLines):
    """A build that ended with an error, or without a wheel."""

    def __init__(self, what: str, step: str, output: str) -> None:
        super().__init__(what, step, output)
        self.what = what
        self.step = step  # the hook: "build_wheel"
        self.output = output
        self.hint = (
            "build the wheel on a machine where that works and name it instead, or choose a release that has wheels"
        )
        missing = re.findall(r"No module named '([A-Za-z0-9_]+)", output)
        if missing:
            # setuptools 82 has no pkg_resources.
            needed = "setuptools<81" if missing[-1] == "pkg_resources" else missing[-1].replace("_", "-").lower()
            self.hint = (
                f'if the project does not declare what its build needs, write requires = ["{needed}"] under '
                f"[build.NAME], where NAME is the project; otherwise {self.hint}"
            )

    def lines(self) -> tuple[str, ...]:
        tail = self.output.strip().splitlines()[-_TAIL:]
        # The bar sets the output of the build apart from envc's own lines, such as a hint.
        return f"{self.what} cannot be built: {self.step} failed", *(f"  | {line}" for line in tail)

    def data(self) -> dict[str, object]:
        return {"what": self.what, "step": self.step, "output": self.output}


class CrossBuild(EnvcError):
    """A wheel that can only be built on another kind of machine."""

    def __init__(self, what: str, target: str, wheel: str) -> None:
        super().__init__(what, target, wheel)
        self.what = what
        self.target = target
        self.wheel = wheel
        self.hint = (
            f"cross-building is impossible: build a wheel on a {target} machine and name it in the manifest, "
            "or leave the target out"
        )

    def __str__(self) -> str:
        return f"{self.what} has no wheel for {self.target}, and this machine can only build {self.wheel}"

    def data(self) -> dict[str, object]:
        return {"what": self.what, "target": self.target, "wheel": self.wheel}


class BuildElsewhere(EnvcError):
    """A wheel that was built on another kind of machine and cannot be built again on this one."""

    def __init__(self, what: str, python: str, machine: str, reason: str) -> None:
        super().__init__(what, python, machine, reason)
        self.what = what
        self.python = python
        self.machine = machine
        self.reason = reason
        self.hint = f"bundle on a {python} machine, or run `envc lock -P NAME` here and bundle the wheel that it builds"

    def __str__(self) -> str:
        return f"{self.what} was built on {self.python} and cannot be built again on {self.machine}: {self.reason}"


class BuildMismatch(SeveralLines):
    """A wheel that differs from the locked one when it is built again."""

    def __init__(self, what: str, expected: str, actual: str, python: str) -> None:
        super().__init__(what, expected, actual, python)
        self.what = what
        self.expected = expected
        self.actual = actual
        self.python = python
        self.hint = (
            "its build is not reproducible: bundle on the machine that locked it, or run `envc lock -P NAME` here "
            "and bundle the wheel that it builds"
        )

    def lines(self) -> tuple[str, ...]:
        return (
            f"{self.what}, built again, is not the wheel that was locked on {self.python}",
            f"  expected sha256 {self.expected}",
            f"  actual   sha256 {self.actual}",
        )

    def data(self) -> dict[str, object]:
        return {"what": self.what, "expected": self.expected, "actual": self.actual}
