"""Passes that win back accuracy that quantization costs."""
