"""Solvers for package ecosystems, usable without the compiler and without I/O of their own."""
