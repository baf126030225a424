"""Run the longest tests, which try more of what those of `scripts/test` try: on every core, with every interpreter.

Usage: scripts/bench tests [ARGUMENTS OF PYTEST]
"""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "--durations=0", "-m", "long", *sys.argv[1:]]))
