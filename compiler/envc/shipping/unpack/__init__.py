"""Reads artifacts as the files of an environment. Nothing in an artifact is executed."""
