"""Conda channels: repodata, shards and package files."""
