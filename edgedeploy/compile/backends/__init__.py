"""Backends, one module each and nothing else: see `edgedeploy.targets.backends` for how a module declares one."""
