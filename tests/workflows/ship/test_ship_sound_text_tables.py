"""From recordings, tables and texts as people have them to a verdict, for each task, judged by its own metric."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper
from support.host_backend import HostBackend
from support.sounds import save_sound, tone
from support.tokenizers import save_tokenizer

from edgedeploy import api
from edgedeploy.values.contract import Outcome
from edgedeploy.values.head import Head
from edgedeploy.verdict.contract import dataset_spec

RATE_HZ = 16_000


def save_model(path: Path, signature: str, body: str, **weights: np.ndarray) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 13]> g {signature} {{ {body} }}')
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    onnx.save(model, path)


def json_lines(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def wake_words(folder: Path, rng: np.random.Generator) -> None:
    """A band of the spectrum for each word: 64 samples at 16 kHz make bins of 250 Hz."""
    for number in range(12):
        name, hz = (("low", 500), ("high", 4000))[number % 2]
        save_sound(folder / f"words/{name}/{number}.wav", tone(0.2, hz=hz * rng.uniform(0.97, 1.03)))
    (folder / "data.toml").write_text(
        'path = "words"\n[preprocessing]\nduration_s = 0.25\nfeatures = "spectrogram"\n'
        "window_samples = 64\nfft_samples = 64\nhop_samples = 64\n"
    )
    weights = np.zeros((33, 2), np.float32)
    weights[16, 0] = weights[2, 1] = 1.0
    body = "mean = ReduceMean<axes = [2], keepdims = 0>(x) y = MatMul(mean, weights)"
    save_model(folder / "model.onnx", "(float[N, 33, T] x) => (float[N, 2] y)", body, weights=weights)


def speech(folder: Path, rng: np.random.Generator) -> None:
    """Letters are tones, with silence between them."""
    letters = {"a": tone(0.1, hz=1000), "b": tone(0.1, hz=4000)}
    rows = []
    for number in range(6):
        text = "".join(rng.choice(["a", "b"], 4))
        save_sound(folder / f"{number}.flac", np.concatenate([np.r_[letters[each], np.zeros(800)] for each in text]))
        rows.append({"file": f"{number}.flac", "text": text})
    json_lines(folder / "list.jsonl", *rows)
    (folder / "data.toml").write_text(
        'path = "list.jsonl"\n[preprocessing]\nfeatures = "spectrogram"\nlayout = "time-first"\n'
        "window_samples = 64\nfft_samples = 64\nhop_samples = 64\n"
    )
    weights = np.zeros((33, 3), np.float32)
    weights[4, 1] = weights[16, 2] = 1.0
    body = "scores = MatMul(x, weights) y = Add(scores, quiet)"
    quiet = np.array([20.0, 0.0, 0.0], np.float32)
    signature = "(float[N, T, 33] x) => (float[N, T, 3] y)"
    save_model(folder / "model.onnx", signature, body, weights=weights, quiet=quiet)


def tables(folder: Path, rng: np.random.Generator) -> None:
    rows = [
        f"{age:.2f};{'AB'[number % 2]};{'yes' if number % 2 else 'no'}" for number, age in enumerate(rng.random(30))
    ]
    (folder / "rows.csv").write_text("\n".join(("age;kind;sold", *rows)) + "\n")
    (folder / "data.toml").write_text(
        'path = "rows.csv"\nlabel_columns = ["sold"]\n[preprocessing]\ncategories = { kind = ["A", "B"] }\n'
    )
    weights = np.array([[0.1, 0.1], [-1, 1]], np.float32)
    body = "scores = MatMul(x, weights) y = Add(scores, bias)"
    bias = np.array([0.5, -0.5], np.float32)
    save_model(folder / "model.onnx", "(float[N, 2] x) => (float[N, 2] y)", body, weights=weights, bias=bias)


def series(folder: Path, rng: np.random.Generator) -> None:
    """The label is the mean of the last four values."""
    values = rng.random(40).round(3)
    means = [values[max(row - 3, 0) : row + 1].mean() for row in range(40)]
    rows = [f"{value},{mean:.6f}" for value, mean in zip(values, means, strict=True)]
    (folder / "rows.csv").write_text("\n".join(("value,mean", *rows)) + "\n")
    (folder / "data.toml").write_text('path = "rows.csv"\nlabel_columns = ["mean"]\nwindow = 4\n')
    body = "y = ReduceMean<axes = [1], keepdims = 0>(x)"
    save_model(folder / "model.onnx", "(float[N, 4, 1] x) => (float[N, 1] y)", body)


_TOKENIZED = '[preprocessing]\ntokenizer = "tokenizer.json"\n'
_TOKENS = "(int64[N, S] input_ids) => "


def texts(folder: Path, rng: np.random.Generator) -> None:
    """Words 5 and 6 are `good` and `bad`."""
    rows = [{"text": f"a {word} film", "label": word} for word in ("good", "bad") * 5]
    json_lines(folder / "rows.jsonl", *rows)
    save_tokenizer(folder / "tokenizer.json")
    (folder / "data.toml").write_text(f'path = "rows.jsonl"\n{_TOKENIZED}')
    table = np.zeros((8, 2), np.float32)
    table[6, 0] = table[5, 1] = 1.0
    body = "rows = Gather(table, input_ids) y = ReduceMean<axes = [1], keepdims = 0>(rows)"
    save_model(folder / "model.onnx", f"{_TOKENS}(float[N, 2] y)", body, table=table)


def embeddings(folder: Path, rng: np.random.Generator) -> None:
    rows = [("good film", "film good"), ("bad", "bad bad"), ("a a", "a")]
    json_lines(folder / "rows.jsonl", *({"query": query, "positive": positive} for query, positive in rows))
    save_tokenizer(folder / "tokenizer.json")
    (folder / "data.toml").write_text(f'path = "rows.jsonl"\n{_TOKENIZED}')
    body = "rows = Gather(table, input_ids) y = ReduceMean<axes = [1], keepdims = 0>(rows)"
    save_model(folder / "model.onnx", f"{_TOKENS}(float[N, 8] y)", body, table=np.eye(8, dtype=np.float32))


def language(folder: Path, rng: np.random.Generator) -> None:
    """Each word is surely followed by the same."""
    json_lines(folder / "rows.jsonl", *({"text": text} for text in ("a good film", "good film", "a good film")))
    save_tokenizer(folder / "tokenizer.json", special=False)
    (folder / "data.toml").write_text(f'path = "rows.jsonl"\ntask = "language-model"\n{_TOKENIZED}')
    table = np.zeros((5, 5), np.float32)
    table[0, 1] = table[1, 3] = 20.0
    save_model(folder / "model.onnx", f"{_TOKENS}(float[N, S, 5] y)", "y = Gather(table, input_ids)", table=table)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "metric", "least", "most"),
    [
        (wake_words, "top1", 1.0, 1.0),
        (speech, "wer", 0.0, 0.0),
        (tables, "top1", 1.0, 1.0),
        (series, "mae", 0.0, 1e-3),
        (texts, "top1", 1.0, 1.0),
        (embeddings, "recall@1", 1.0, 1.0),
        (language, "perplexity", 1.0, 1.001),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_from_files_to_a_verdict_by_the_tasks_metric(
    make: Callable[[Path, np.random.Generator], None],
    metric: str,
    least: float,
    most: float,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All steps of `ship` but those that measure time, which say nothing of data."""
    monkeypatch.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())
    make(tmp_path, rng)
    head = Head(kind="ctc", options={"alphabet": "_ab", "blank": 0}) if make is speech else None
    stated = api.InitSettings(name="model", recipe="fold", head=head)
    contract = api.init(tmp_path / "model.onnx", str(tmp_path / "data.toml"), tmp_path / "c.toml", stated).contract
    evaluation = dataset_spec(contract, contract.data.evaluation)
    settings = {"metric": contract.data.metric, "head": contract.data.head}
    model, small = tmp_path / "model.onnx", tmp_path / "small.onnx"
    assert api.optimize(model, api.load_recipe("fold"), small, evaluation=evaluation, **settings).accepted
    bundle = api.compile(small, api.load_target("x86-64"), tmp_path / "bundle", golden=evaluation, contract=contract)
    with api.connect(f"local:{tmp_path / 'device'}") as device:
        api.push(bundle, device)
        measurement = api.test(device, api.current_release(device), evaluation, **settings)
    outcomes = {line.key: line.outcome for line in api.check(contract, measurement).lines}
    limits = [key for key in outcomes if key in ("limits.metric_min", "limits.metric_max")]
    assert outcomes["data.evaluation_sha256"] is Outcome.HOLDS and outcomes[limits[0]] is Outcome.HOLDS
    assert measurement.accuracy is not None and measurement.accuracy.metric is not None
    assert measurement.accuracy.metric.name == metric and least <= measurement.accuracy.metric.value <= most
