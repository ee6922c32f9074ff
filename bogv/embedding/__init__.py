"""Pictures to embeddings: the network, its engines and its weights."""
