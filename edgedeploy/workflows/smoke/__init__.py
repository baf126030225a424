"""Smoke tests: PASS or FAIL for one device, over a connection or from a kit."""
