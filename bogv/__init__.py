"""bogv: search images by image."""

__version__ = "0.1.0"
