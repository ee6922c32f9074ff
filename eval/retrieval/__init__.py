"""`run` and `compare`: how well a dataset's queries find what is relevant to them."""
