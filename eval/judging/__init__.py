"""Relevance judgements of one's own gallery: pools of results, and the scores of settings."""
