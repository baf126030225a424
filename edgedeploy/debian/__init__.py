"""Reads Debian archives: which sources the host has, which packages a root file system needs."""
