"""Image decoding in sandboxed processes."""
