"""Prefixes: trees of files on disk that run as environments."""
