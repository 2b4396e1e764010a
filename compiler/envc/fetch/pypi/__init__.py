"""Package indexes: pages, files and their metadata."""
