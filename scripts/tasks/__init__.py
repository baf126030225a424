"""Real trained models of ten kinds, each with data as people have it: what `scripts/bench tasks` tries."""
