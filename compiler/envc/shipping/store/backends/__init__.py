"""Implementations of `Blobs` for folders, object stores and web servers."""
