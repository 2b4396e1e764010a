"""HTTP, credentials and network settings."""
