"""Runs a model on this machine: its format, a session in the runtime of that format, inputs frozen to constants."""
