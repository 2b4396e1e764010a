"""Versions, version specs, match specs and records of conda, and their meaning."""
