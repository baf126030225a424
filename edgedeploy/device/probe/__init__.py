"""Asks a device what it is: processor, memory, operating system, C library, Python."""
