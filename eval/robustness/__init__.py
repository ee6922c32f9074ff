"""`robustness`: how often an edited image finds its original."""
