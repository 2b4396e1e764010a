"""The stores behind `Blobs`."""
