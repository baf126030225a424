"""Statistics of measurements: latency percentiles, noise, bootstrap intervals, paired ratios."""
