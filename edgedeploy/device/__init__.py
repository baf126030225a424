"""Connects to a device by its address (local, SSH, emulated board), and probes it."""
