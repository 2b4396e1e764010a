"""The store: blobs under keys, and what they mean."""
