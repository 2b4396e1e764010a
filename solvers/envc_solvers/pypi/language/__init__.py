"""Requirements, markers, specifiers and wheel tags, and their meaning."""
