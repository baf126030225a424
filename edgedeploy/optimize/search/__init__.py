"""Search for the recipe that makes a model smallest or fastest and keeps its accuracy."""
