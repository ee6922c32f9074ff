"""Embedding of a dataset's images: settings, pooling, caching, projection."""
