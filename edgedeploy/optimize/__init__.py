"""From a model to a smaller, faster one that still answers: passes, guard, search."""
