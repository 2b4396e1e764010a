"""The values that move through the compiler; no room here does any work with the outside."""
