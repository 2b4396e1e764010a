"""How packages are chosen."""
