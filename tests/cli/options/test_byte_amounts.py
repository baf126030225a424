"""Sizes and rates as people write them."""

from __future__ import annotations

import click
import pytest

from edgedeploy.cli.options.byte_amounts import ByteRate, ByteSize


@pytest.mark.parametrize(
    ("text", "amount"), [("1", 1), ("500k", 512_000), ("500K", 512_000), ("1.5M", 1_572_864), ("2G", 2 << 30)]
)
def test_amounts(text: str, amount: int) -> None:
    assert ByteSize().convert(text, None, None) == ByteRate().convert(text, None, None) == amount


@pytest.mark.parametrize("text", ["", "0", "0.1", "-1", "2MB", "1e3", "K", "nan", "9" * 40, "٣"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a rate: write bytes per second, such as 500K"):
        ByteRate().convert(text, None, None)
    with pytest.raises(click.BadParameter, match="not a size: write bytes, such as 500K"):
        ByteSize().convert(text, None, None)
