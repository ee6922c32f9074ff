"""What every measurement writes: results, reports, plots, and where they come from."""
