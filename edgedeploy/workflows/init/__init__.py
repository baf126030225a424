"""A contract out of a model and a folder of data: what can be seen is not asked, and what is guessed is said."""
