"""HTTP, credentials and settings."""
