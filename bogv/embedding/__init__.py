"""Embedding of images: the network, its engines and its weights."""
