"""What the command line prints: results as lines of text and as JSON."""
