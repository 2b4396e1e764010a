"""The PyPI projects that conda packages supply."""
