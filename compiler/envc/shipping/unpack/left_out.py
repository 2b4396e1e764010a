"""Files of packages that are not installed, because they would act without being seen.

Python runs byte-code in a ``__pycache__`` folder in place of the source beside it, also if another package holds this
source, and never without a source (PEP 3147). Conda tools run the scripts, set the variables and believe the records in
their own folders of a prefix, so only conda packages may write there.
"""

from __future__ import annotations

from envc.shipping.format.paths import fold

_CACHE = "__pycache__"
_CONDA_FOLDERS = ("conda-meta/", "etc/conda/activate.d/", "etc/conda/deactivate.d/", "etc/conda/env_vars.d/")


def is_cached_bytecode(path: str) -> bool:
    """Whether Python could run a file in place of the source that it belongs to."""
    folder, _, name = path.rpartition("/")
    return fold(folder.rpartition("/")[2]) == _CACHE and fold(name).endswith(".pyc")


def source_of(path: str) -> str:
    """The folded path of the source of byte-code, in a ``__pycache__`` folder or beside the source."""
    folder, slash, name = fold(path).rpartition("/")
    if folder.rpartition("/")[2] == _CACHE:
        folder = folder.rpartition("/")[0]
        return f"{folder}{'/' if folder else ''}{name.partition('.')[0]}.py"
    return f"{folder}{slash}{name.removesuffix('c')}"


def is_condas(path: str) -> bool:
    """Whether a path is in a folder of a prefix that conda tools act upon."""
    return fold(path).startswith(_CONDA_FOLDERS)
