"""Passes that recover accuracy that quantization costs."""
