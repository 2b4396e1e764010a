"""The PyPI solver: resolvelib's states and criteria under a search of our own."""
