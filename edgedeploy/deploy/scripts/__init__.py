"""All shell that runs on a device for `deploy`."""
