"""The output of every measurement: results, reports, plots, and their provenance."""
