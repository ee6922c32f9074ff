"""Bytes to pictures, decoded in processes of their own."""
