"""What knows no model and no device: errors, files, locks, progress, units, validation, TOML, programs, callables."""
