"""What one run over both ecosystems gets."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.problem import CondaProblem
from envc_solvers.pypi.problem import PyPIProblem

if TYPE_CHECKING:
    from envc_solvers.pypi.language.index import Index
    from envc_solvers.pypi.language.markers import Answer


MAX_ROUNDS = 8  # times that conda is solved again


# Who answers a problem of PyPI, which is made for the Python and the projects of one solution of conda: the problem as
# the index wants it put, the index, and what is known of markers there.
Ask = Callable[[PyPIProblem], "tuple[PyPIProblem, Index, MutableMapping[str, Answer]]"]


class MixedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What one run gets. Equal problems have equal solutions over the same repodata, index and names."""

    conda: CondaProblem
    pypi: PyPIProblem  # its Python is that of conda's `python`, to the patch, where the solution of conda has one
    reserved: dict[str, str] = {}  # project that must not come from conda: what says so, for explanations
