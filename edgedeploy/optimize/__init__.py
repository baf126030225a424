"""Makes a model smaller and faster without losing accuracy: passes, recipes, guard, search."""
