"""Emulated boards at work for `optimize`: models run and counted there."""
