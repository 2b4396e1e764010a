"""Explanations of failed searches."""
