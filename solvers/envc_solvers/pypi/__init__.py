"""The PyPI solver: resolvelib's states and criteria, driven by a search of its own."""
