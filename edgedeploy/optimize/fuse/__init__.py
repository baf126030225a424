"""Passes that fuse: replace a group of nodes by one operator."""
