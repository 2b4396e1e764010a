"""Stores: blobs behind fsspec, objects and archives in their byte format."""
