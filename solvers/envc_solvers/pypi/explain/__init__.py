"""Why no choice is possible."""
