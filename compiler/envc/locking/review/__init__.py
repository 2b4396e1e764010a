"""review: what a lock holds, for people: its status, its changes, its yanked files. Reads graphs, does no I/O."""
