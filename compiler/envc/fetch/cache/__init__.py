"""The cache of index data: pages, metadata and the values of markers."""
