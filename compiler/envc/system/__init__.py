"""Threads, processes, file locks and disks. Knows no package."""
