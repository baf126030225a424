"""The tables of docs/data.md: each that is shown can be read, and each key and format that there is stands in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from edgedeploy.datasets.preprocessing.presets import preset_names, resolve
from edgedeploy.datasets.reader import readers
from edgedeploy.values.contract import ContractData
from edgedeploy.values.data import DataSource

PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
TABLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", TABLES, ids=range(len(TABLES)))
def test_every_table_that_is_shown_can_be_read(text):
    document = tomllib.loads(text)
    kind = ContractData if "data" in document else DataSource
    found = msgspec.convert(document.get("data", document), kind)
    assert resolve(found.preprocessing)


def test_every_format_and_key_is_described():
    assert {reader.name for reader in readers()} <= set(re.findall(r"`([a-z-]+)`", PAGE))
    of_series = {"inputs", "window", "step", "group"}
    described = set(re.findall(r"`\[?([a-z_]+)\]?`", PAGE))
    assert set(DataSource.__struct_fields__) - of_series <= described
    assert set(preset_names()) <= set(re.findall(r"`([a-z-]+)`", PAGE))
