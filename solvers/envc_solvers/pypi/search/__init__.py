"""The search for a solution of a PyPI problem."""
