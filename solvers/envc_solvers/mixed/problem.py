"""The input of the mixed solver."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.problem import CondaProblem
from envc_solvers.origin import Phrase
from envc_solvers.pypi.problem import PyPIProblem

if TYPE_CHECKING:
    from envc_solvers.pypi.language.index import Index
    from envc_solvers.pypi.language.markers import Answer

MAX_ROUNDS = 8  # times that conda is solved again

# Opens an index for a PyPI problem, which is made for the Python and the projects of one solution of conda. Returns
# the problem as that index needs it, the index, and the known answers of markers in that environment.
OpenIndex = Callable[[PyPIProblem], "tuple[PyPIProblem, Index, MutableMapping[str, Answer]]"]


class MixedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """The input of one run of the mixed solver. Equal problems have equal solutions over the same repodata, index and
    names.
    """

    conda: CondaProblem
    pypi: PyPIProblem  # its Python is replaced by the version of conda's `python`, if the conda solution has one
    reserved: dict[str, Phrase] = {}  # project that must not come from conda: the reason, for explanations
