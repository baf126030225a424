"""Passes that take channels or single weights out, and what chooses and repairs them."""
