"""Ways to a device: its address, a connection to it (local, SSH, emulated board), and what it is."""
