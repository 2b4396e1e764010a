"""What versions, match specs and records mean."""
