"""Helpers without models or devices: errors, files, locks, progress, units, validation, TOML, programs, callables."""
