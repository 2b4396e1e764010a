"""Garbage collection, leases and notices."""
