"""Fetching: the network and its cache."""
