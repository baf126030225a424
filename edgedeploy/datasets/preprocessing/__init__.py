"""From what a file holds to what a model takes."""
