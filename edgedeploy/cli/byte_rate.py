"""A rate in bytes a second, as people write it on a command line."""

from __future__ import annotations

import re
from typing import Any

import click

_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kmg]?)", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class ByteRate(click.ParamType[int]):
    """Bytes a second, with K, M or G for 1,024, 1,024² and 1,024³, as `curl --limit-rate` takes them."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _RATE.fullmatch(str(value).strip())
        rate = round(float(match[1]) * _FACTORS[match[2].lower()]) if match else 0
        if rate < 1:
            self.fail(f"{value!r} is not a rate: write bytes a second, such as 500K or 2M", param, ctx)
        return rate
