"""Threads, processes, file locks and disks. Nothing here knows about packages."""
