"""Runs a release on its device and observes: time, instructions, memory, accuracy, operators."""
