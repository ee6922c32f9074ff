"""`sweep`: many settings on several datasets, compared with a baseline and by their cost."""
