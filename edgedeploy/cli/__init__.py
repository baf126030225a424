"""The `edgedeploy` command."""
