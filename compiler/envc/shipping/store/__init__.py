"""Blobs under keys."""
