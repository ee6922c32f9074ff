"""`latency`: how long searches take under load."""
