"""Runs a model on this machine: detects its format, opens a session in its runtime, handles frozen inputs."""
