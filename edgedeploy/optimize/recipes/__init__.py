"""Recipes: read from TOML, turned into passes, run with pre- and postconditions checked."""
