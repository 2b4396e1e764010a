"""Conda channels."""
