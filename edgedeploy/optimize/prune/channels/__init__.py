"""Which channels have to go together, and what is left when they go."""
