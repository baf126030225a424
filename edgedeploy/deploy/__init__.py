"""Puts bundles on devices as releases, in a way that can always be taken back."""
