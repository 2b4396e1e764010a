"""The modules that mutants are made of, and the test files beside each."""

from __future__ import annotations

_SOLVER = "solvers/envc_solvers"
_COMPILER = "compiler/envc"

_EVERYWHERE = ("unit/test_values.py",)  # reads the source of all modules
# The fastest file first: a mutant is tried until the first failure. Slow files stand here only where they are needed.
_BESIDE: dict[str, tuple[str, ...]] = {
    f"{_COMPILER}/locking/plan/link.py": ("unit/test_link.py", "unit/test_stages.py", "unit/test_yanked.py"),
    f"{_COMPILER}/locking/plan/inputs.py": ("unit/test_link.py", "unit/test_stages.py"),
    f"{_COMPILER}/locking/plan/package_ids.py": ("unit/test_link.py", "unit/test_stages.py"),
    f"{_COMPILER}/locking/plan/freshness.py": ("unit/test_freshness.py", "unit/test_stages.py"),
    f"{_COMPILER}/locking/lockfile/merge.py": ("unit/test_lockfile_merge.py",),
    f"{_COMPILER}/shipping/store/upkeep/collect.py": ("unit/test_store_upkeep.py", "property/test_store_sweep.py"),
    f"{_COMPILER}/shipping/unpack/wheel.py": (
        "unit/test_install_wheel.py",
        "hostile/test_wheel_archives.py",
        "hostile/test_wheel_damage.py",
    ),
    f"{_COMPILER}/shipping/format/decode.py": (
        "unit/test_store_members.py",
        "hostile/test_store_objects.py",
        "property/test_store_objects.py",
    ),
    f"{_SOLVER}/conda/language/versionspec.py": ("unit/conda/test_versions.py", "property/test_conda_laws.py"),
    f"{_SOLVER}/pypi/search/nogoods.py": ("unit/pypi/test_nogoods.py", "unit/pypi/test_search.py"),
}
TESTS = {module: (*files, *_EVERYWHERE) for module, files in _BESIDE.items()}
