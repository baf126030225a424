"""Parameter types for sizes and rates in bytes, with K, M and G."""

from __future__ import annotations

import re
from typing import Any

import click

_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kmg]?)", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class ByteSize(click.ParamType[int]):
    """A number of bytes. K, M and G stand for 1,024, 1,024² and 1,024³, as in `ls -h` and `curl --limit-rate`."""

    name = "size"
    _hint = "bytes, such as 500K or 2M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _AMOUNT.fullmatch(str(value).strip())
        amount = round(float(match[1]) * _FACTORS[match[2].lower()]) if match else 0
        if amount < 1:
            self.fail(f"{value!r} is not a {self.name}: write {self._hint}", param, ctx)
        return amount


class ByteRate(ByteSize):
    """Bytes per second, in the same format."""

    name = "rate"
    _hint = "bytes per second, such as 500K or 2M"
