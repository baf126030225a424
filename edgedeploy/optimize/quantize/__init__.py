"""Passes that quantize: store or compute in fewer bits, with calibration."""
