"""The Duplicates tab."""
