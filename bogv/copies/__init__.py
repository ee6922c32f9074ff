"""Copies of a query in the gallery: finding them, and hashing images added by older versions."""
