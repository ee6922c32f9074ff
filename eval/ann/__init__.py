"""`ann`: approximate search against exact search."""
