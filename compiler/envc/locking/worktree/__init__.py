"""Which of the user's own files count."""
