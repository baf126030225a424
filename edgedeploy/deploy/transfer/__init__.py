"""Sends the files that the device lacks: compressed if that helps, with a bandwidth limit."""
