"""The text of a manifest: read, located and edited."""
