"""Emulated boards: builds an image from Debian packages, boots it in QEMU, stops it."""
