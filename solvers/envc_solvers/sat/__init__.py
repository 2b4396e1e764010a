"""A conflict-driven search over variables with finite domains. It knows nothing about packages."""
