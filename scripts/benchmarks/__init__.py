"""Benchmarks, one a module; `scripts/bench` lists and runs them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the checkout."""
