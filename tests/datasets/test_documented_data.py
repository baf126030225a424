"""The examples of docs/data_sound_text_tables.md give what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.sounds import save_sound, tone
from support.tokenizers import save_tokenizer

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.values.model import TensorFacts
from edgedeploy.workflows.data_show.show import data_show

PAGE = Path(__file__).parents[2] / "docs/data_sound_text_tables.md"
SECTIONS = {
    title: text
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if "Gives:" in text
}


def given(folder: Path, text: str) -> tuple[str, tuple[int, ...], str]:
    """Write an example's files, and return the input, its shape and the labels that the page states."""
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(content)
    for line in re.findall(r"^Files: (.*)", text, re.MULTILINE):
        for name in re.findall(r"`(.*?)`", line):
            save_sound(folder / name, tone(0.5))
    save_tokenizer(folder / "tokenizer.json")
    (found,) = re.findall(r"^Gives: `(\w+)` \((.*?)\); labels (.*)", text, re.MULTILINE)
    return found[0], tuple(map(int, found[1].split(", "))), found[2]


def labels_of(spec: str, inputs: list[TensorFacts]) -> str:
    labels = [sample.labels for sample in open_dataset(spec, inputs).samples()]
    if isinstance(labels[0], tuple):
        return ", ".join(f'"{text}"' for (text,) in labels)
    if labels[0].ndim > 1:
        return str(np.concatenate(labels).tolist())
    return ", ".join(str(number) for each in labels for number in each)


@pytest.mark.parametrize("title", SECTIONS)
def test_an_example_gives_what_the_page_says(tmp_path, title):
    name, shape, labels = given(tmp_path, SECTIONS[title])
    dtype = "int64" if name == "input_ids" else "float32"
    inputs = [TensorFacts(name=name, dtype=dtype, shape=shape)]
    found = labels_of(str(tmp_path / "data.toml"), inputs)
    # Folders come in a mixed order.
    assert sorted(found.split(", ")) == sorted(labels.split(", "))


def test_data_show_says_what_nobody_declared(tmp_path):
    given(tmp_path, SECTIONS["Tables"].replace('class_names = ["no", "yes"]\n', ""))
    text = '<ir_version: 8, opset_import: ["": 13]> g (float[N, 3] x) => (float[N, 3] y) { y = Softmax(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    summary = data_show(str(tmp_path / "data.toml"), tmp_path / "model.onnx")
    assert (summary.format, summary.samples, summary.task) == ("csv", 3, "classification")
    assert "0 'no', 1 'yes'" in summary.notes[0]
    assert summary.preprocessing[0] == "fill = {'age': 28.0}" and len(summary.preprocessing) == 4
    assert [(each.name, each.count) for each in summary.classes] == [("no", 1), ("yes", 2)]
