"""Reviewing: reading verbs over lock graphs."""
