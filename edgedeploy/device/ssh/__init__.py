"""Connections over SSH, with the keys, hosts and configuration that the user's `ssh` has."""
