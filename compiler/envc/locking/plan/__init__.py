"""plan: computes what must be solved, and builds a lock from the solutions. Pure functions of values."""
