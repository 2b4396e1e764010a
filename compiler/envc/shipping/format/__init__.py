"""The bytes of objects and bundles, as FORMAT.md specifies them."""
