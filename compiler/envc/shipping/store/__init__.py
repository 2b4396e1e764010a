"""The store: blobs under keys, and the objects and documents that they contain."""
