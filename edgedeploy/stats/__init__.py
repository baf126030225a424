"""How sure a figure is: latency percentiles, noise, bootstrap intervals, paired ratios."""
