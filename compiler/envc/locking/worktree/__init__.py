"""worktree: the user's own files that belong to a step or to a local project."""
