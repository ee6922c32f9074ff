"""From a dataset's images to embeddings: settings, pooling, caching, projection."""
