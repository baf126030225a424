"""Rates as people write them."""

from __future__ import annotations

import click
import pytest

from edgedeploy.cli.byte_rate import ByteRate


@pytest.mark.parametrize(
    ("text", "bytes_per_s"), [("1", 1), ("500k", 512_000), ("500K", 512_000), ("1.5M", 1_572_864), ("2G", 2 << 30)]
)
def test_rates(text: str, bytes_per_s: int) -> None:
    assert ByteRate().convert(text, None, None) == bytes_per_s


@pytest.mark.parametrize("text", ["", "0", "0.1", "-1", "2MB", "1e3", "K", "nan", "9" * 40, "٣"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="500K"):
        ByteRate().convert(text, None, None)
