"""What measurements run with: processes, servers, load, and synthetic vectors."""
