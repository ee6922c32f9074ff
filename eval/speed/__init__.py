"""`speed`: how fast each stage is, and what it could be."""
