"""Runs the solvers over indexes and channels."""
