"""`scale`: how a gallery grows with its rows."""
