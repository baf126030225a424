"""A search over recipes: trials, mixed precision, Pareto front, journal."""
