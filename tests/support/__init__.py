"""Helpers that tests share: servers, channels, wheels, stores and reference implementations."""
