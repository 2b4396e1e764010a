"""What must be solved, and what the answers make. Pure functions of values."""
