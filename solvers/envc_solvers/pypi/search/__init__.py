"""How candidates are chosen."""
