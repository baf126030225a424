"""The kinds of heads, one module each, with `HEAD`."""
