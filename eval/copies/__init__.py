"""`copies`: whether the gallery has the original of an edited image, and false alarms."""
