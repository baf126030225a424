"""Run the longest tests, which try more of what those of `scripts/test` try: on every core, with every interpreter.

Usage: scripts/bench tests [-k WORDS]
"""

from __future__ import annotations

import argparse
import sys

import pytest


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench tests", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-k", default="", metavar="WORDS", help="only those whose names have these words")
    options = parser.parse_args()
    sys.exit(pytest.main(["-q", "--durations=0", "-m", "long", "-k", options.k]))


if __name__ == "__main__":
    main()
