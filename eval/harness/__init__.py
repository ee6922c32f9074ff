"""Tools for measurements: processes, servers, load, and synthetic vectors."""
