"""Garbage collection of a store, with its leases and notices."""
