"""All shell scripts that run on a device for `deploy`."""
