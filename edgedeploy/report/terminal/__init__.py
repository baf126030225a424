"""Tables for the terminal, one module per kind of value."""
