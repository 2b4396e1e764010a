"""The PyPI solver: resolvelib drives, the provider is ours."""
