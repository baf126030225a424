"""Sends files: only what the device lacks, compressed where that helps, no faster than allowed."""
