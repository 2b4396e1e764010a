"""Fetching: indexes, metadata and artifacts, with a persistent cache."""
