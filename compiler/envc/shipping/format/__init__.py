"""The bytes of objects and bundles (FORMAT.md)."""
