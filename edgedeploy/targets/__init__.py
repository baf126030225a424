"""Targets, the kinds of boards: loads their files, finds the one that fits a device, computes speed bounds."""
