"""Start the runner: `runner.py` in a bundle, with the other modules beside it in a package of its own."""

from __future__ import annotations

import importlib
import sys

if __name__ == "__main__":
    sys.exit(importlib.import_module("edgedeploy_runner.runner").main(sys.argv[1:]))
