"""What people read about a lock."""
