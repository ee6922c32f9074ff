"""Statistics of measurements: intervals of means, comparisons, percentiles."""
