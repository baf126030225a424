"""Contracts out of a model and recordings, a table or texts: what is guessed, and that the contract is sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper
from support.sounds import save_sound, tone
from support.tokenizers import save_tokenizer

from edgedeploy import api
from edgedeploy.datasets.preprocessing.audio import prepare_sound
from edgedeploy.datasets.preprocessing.audio_presets import AUDIO_PRESETS
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.values.contract import Outcome
from edgedeploy.values.guess import InitiatedContract


def made(model: Path, data: Path) -> InitiatedContract:
    path = model.parent / "contract.toml"
    found = api.init(model, str(data), path, api.InitSettings(name="model"))
    contract = api.load_contract(path)
    lines = api.check_hand_over(contract).lines
    assert all(line.outcome is Outcome.HOLDS for line in lines), lines
    return found


def said(found: InitiatedContract) -> dict[str, str]:
    return {guess.key: guess.value for guess in found.guesses}


def linear(path: Path, shape: str, weights: np.ndarray, bias: np.ndarray) -> Path:
    """A model of scores that are linear in what it takes."""
    inputs = f"float[N, {shape}] x"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g ({inputs}) => (float[N, {len(bias)}] y)'
        " { flat = Flatten(x) y = Gemm(flat, weights, bias) }"
    )
    for name, values in (("weights", weights), ("bias", bias)):
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.save(model, path)
    return path


def test_recordings_are_prepared_as_the_model_answers_best(tmp_path):
    preset = AUDIO_PRESETS["mlperf-tiny-kws"]
    rng = np.random.default_rng(0)
    means = []
    for name, hz in (("high", 2500), ("low", 300)):
        sounds = [tone(1.0, hz=hz * rng.uniform(0.9, 1.1)) for _ in range(8)]
        for number, sound in enumerate(sounds):
            save_sound(tmp_path / f"words/{name}/{number}.wav", sound)
        means.append(np.mean([prepare_sound(sound.astype(np.float32), preset) for sound in sounds], axis=0).ravel())
    # The nearer mean: |x - m|² without |x|².
    weights = 2 * np.stack(means, axis=1)
    model = linear(tmp_path / "model.onnx", "49, 10, 1", weights, -(weights**2).sum(axis=0) / 4)
    found = made(model, tmp_path / "words")
    assert said(found)["preprocessing"] == "preset mlperf-tiny-kws" and said(found)["format"] == "audio-folder"
    assert found.contract.limits.metric_min == pytest.approx(0.99)


def table(path: Path, weights: np.ndarray, *, label: str) -> Path:
    rows = np.random.default_rng(1).normal(size=(40, 3))
    lines = [
        ",".join((*map(str, row), "no" if score < 0 else "yes"))
        for row, score in zip(rows, rows @ weights, strict=True)
    ]
    path.write_text("\n".join((f"a,b,c,{label}", *lines)) + "\n")
    return path


@pytest.mark.parametrize("label", ["target", "sold"])
def test_a_table_has_its_label_in_a_column_of_that_name_or_the_last(tmp_path, label):
    weights = np.array([1.0, -2.0, 0.5])
    model = linear(tmp_path / "model.onnx", "3", np.stack((-weights, weights), axis=1), np.zeros(2))
    table(tmp_path / "train.csv", weights, label=label)
    found = said(made(model, table(tmp_path / "test.csv", weights, label=label)))
    assert (found["label_columns"], found["task"], found["metric"]) == (label, "classification", "top1")
    assert found["calibration"].endswith("train.csv")


def test_a_table_without_a_column_for_the_label_is_refused(tmp_path):
    model = linear(tmp_path / "model.onnx", "4", np.ones((4, 2)), np.zeros(2))
    with pytest.raises(DatasetError, match="no column is known that could be the label"):
        made(model, table(tmp_path / "test.csv", np.ones(3), label="sold"))


def test_texts_take_the_tokenizer_beside_the_model(tmp_path, monkeypatch):
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]> g (int64[N, S] input_ids) => (float[N, 8] y) {
            rows = Gather(table, input_ids)
            y = ReduceMean<axes = [1], keepdims = 0>(rows)
        }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.eye(8, dtype=np.float32), "table"))
    (tmp_path / "hand-over").mkdir()
    onnx.save(model, tmp_path / "hand-over/model.onnx")
    save_tokenizer(tmp_path / "hand-over/tokenizer.json")
    rows = [{"text": "good good good", "label": 5}, {"text": "film film film", "label": 7}] * 3
    (tmp_path / "hand-over/data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    found = made(Path("hand-over/model.onnx"), Path("hand-over/data.jsonl"))
    assert said(found)["tokenizer"] == "hand-over/tokenizer.json"
    assert found.contract.limits.metric_min == pytest.approx(0.99)
    monkeypatch.chdir("/")
    lines = api.check_hand_over(api.load_contract(tmp_path / "hand-over/contract.toml")).lines
    assert all(line.outcome is Outcome.HOLDS for line in lines)


def test_a_contract_cannot_name_a_tokenizer_outside_its_folder(tmp_path):
    path = tmp_path / "contract.toml"
    weights = np.array([1.0, -2.0, 0.5])
    model = linear(tmp_path / "model.onnx", "3", np.stack((-weights, weights), axis=1), np.zeros(2))
    made(model, table(tmp_path / "test.csv", weights, label="y"))
    path.write_text(path.read_text() + '\n[data.preprocessing]\ntokenizer = "../../secret.json"\n')
    with pytest.raises(InvalidFileError, match="not a path inside the contract's folder"):
        api.load_contract(path)
