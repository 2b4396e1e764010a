"""The search for a solution of a conda problem."""
