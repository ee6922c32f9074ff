"""A history of results: which figures were measured at which revision."""
