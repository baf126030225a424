"""Measures a release on its device: time, instructions, memory, accuracy, operators."""
