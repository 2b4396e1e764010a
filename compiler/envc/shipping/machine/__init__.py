"""What this machine has: interpreters, system libraries and hardware."""
