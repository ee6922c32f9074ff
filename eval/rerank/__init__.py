"""Re-ranking without training: methods as functions of embeddings and neighbours."""
