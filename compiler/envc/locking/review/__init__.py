"""review: reports on a lock for users: status, changes, yanked files. Pure functions of lock graphs."""
