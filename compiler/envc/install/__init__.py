"""Installing: what the files of an artifact become inside a prefix."""
