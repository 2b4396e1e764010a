"""Manifest to lock file."""
