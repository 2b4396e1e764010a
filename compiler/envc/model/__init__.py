"""The values that move through the compiler. Nothing here does I/O, but for reading a file to digest it."""
