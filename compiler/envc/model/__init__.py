"""The values that move through the compiler. Nothing here does I/O, except that `digest` reads files."""
