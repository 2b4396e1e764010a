"""The stages behind the lock."""
