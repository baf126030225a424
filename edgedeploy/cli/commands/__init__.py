"""The commands, one module each. Its `command` is a click command or group."""
