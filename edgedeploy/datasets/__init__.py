"""Datasets for calibration and evaluation: opened by name, streamed, sampled, or generated if there are none."""
