"""What scores and thresholds mean in the gallery."""
