"""HTTP: the REST API and all that stands before it and the demo."""
