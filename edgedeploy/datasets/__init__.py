"""Samples for calibration and evaluation: opened by name, streamed, sampled, or made up where there are none."""
