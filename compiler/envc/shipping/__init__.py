"""Takes a lock file to a store, and from there to a prefix. Does not import `locking`."""
