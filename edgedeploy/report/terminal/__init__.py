"""Tables for the terminal, one module a value."""
