"""A tree on disk that runs."""
