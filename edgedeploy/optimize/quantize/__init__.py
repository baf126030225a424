"""Passes that store or compute in fewer bits, and their calibration."""
