"""The cache of what indexes and channels said."""
