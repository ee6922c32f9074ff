"""Texts of the demo, by subject."""
