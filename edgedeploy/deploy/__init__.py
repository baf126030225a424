"""Installs bundles on devices as releases, removes them, and rolls back to the previous one."""
