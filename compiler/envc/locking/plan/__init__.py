"""plan: what has to be solved, and the lock that the solutions make. Pure functions of values."""
