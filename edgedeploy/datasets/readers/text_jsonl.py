"""Texts in JSON lines (or CSV, where a tokenizer is stated), one sample a row, as `edgedeploy.datasets.text` has it.

`text`, with `pair` where the model compares two, and `label`; or `query` and `positive`, which belong together; of a
language model the labels are the tokens that follow.
"""

from __future__ import annotations

from pathlib import Path

from edgedeploy.datasets.manifest import header, is_json_lines
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.text.texts import QUERY_KEY, TEXT_KEY, Texts
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.values.data import DataSource
from edgedeploy.values.preprocessing import TextPreprocessing


def _recognize(path: Path, source: DataSource) -> str:
    table = path.suffix.lower() in (".csv", ".tsv") and "tokenizer" in source.preprocessing
    if not path.is_file() or not (is_json_lines(path) or table):
        return ""
    try:
        keys = header(path)
    except EdgedeployError:
        return ""
    found = next((key for key in (TEXT_KEY, QUERY_KEY) if key in keys), "")
    return f"its rows have a key {found!r}" if found else ""


READER = DataReader(
    name="text-jsonl",
    task="text",
    rank=30,
    recognize=_recognize,
    open=Texts,
    preprocessing=TextPreprocessing,
)
