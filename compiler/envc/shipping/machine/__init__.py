"""The properties of this machine: interpreters, system libraries and hardware."""
