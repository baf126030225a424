"""Recordings: which there are, and what is read of them."""
