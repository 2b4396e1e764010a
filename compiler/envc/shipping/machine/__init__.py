"""This machine: interpreters, floors, hardware."""
