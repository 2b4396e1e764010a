"""Lock file to store to prefix. Imports nothing of `locking`."""
