"""`speed`: the speed of each stage, its bound, and a baseline."""
