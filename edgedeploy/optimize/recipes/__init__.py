"""Recipes: read from TOML, turned into passes, run with their promises checked."""
