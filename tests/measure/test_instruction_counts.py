"""Counting with the real runner, on this machine: its nanoseconds stand for a counting board's instructions."""

from __future__ import annotations

import io

import numpy as np
import onnx.parser
import pytest
from msgspec import structs
from rich.console import Console

from edgedeploy.foundation.errors import DeviceError
from edgedeploy.measure.bench import bench
from edgedeploy.measure.conditions import merge
from edgedeploy.measure.instruction_counts import count_inferences, instruction_count, load_model
from edgedeploy.measure.protocol import conversation
from edgedeploy.report.terminal.measurement import measurement_tables

OTHER = """
    <ir_version: 8, opset_import: ["" : 17]>
    other (float[N, 3] z) => (float[N, 3] twice) { twice = Add(z, z) }
"""
FEEDS = [{"z": np.full((1, 3), value, np.float32), "gone": np.zeros(4, np.int64)} for value in (1, 2, 3)]


def other() -> bytes:
    content: bytes = onnx.parser.parse_model(OTHER).SerializeToString()
    return content


def test_another_model_runs_in_place_of_the_release_s(local, make_release):
    with conversation(local, make_release()) as talk:
        load_model(talk, other())
        counts = count_inferences(talk, FEEDS, samples=7)
        assert len(counts) == 7 and min(counts) > 0
        talk.send({"do": "infer"}, {"z": np.array([[1, 2, 3]], np.float32)})
        _, arrays = talk.receive()
        assert {name: array.tolist() for name, array in arrays.items()} == {"twice": [[2.0, 4.0, 6.0]]}
        assert talk.ask({"do": "load"})["is"] == "load"
        load_model(talk, other())
        assert len(count_inferences(talk, FEEDS[:1], samples=3)) == 3


@pytest.mark.parametrize(
    ("model", "feeds", "why"),
    [
        (b"nonsense", FEEDS, "protobuf"),
        (None, [{"z": np.zeros((1, 5), np.float32)}], "invalid dimensions"),
        (None, [{"x": np.zeros((1, 3), np.float32)}], "z"),
    ],
    ids=["model", "shape", "name"],
)
def test_what_does_not_load_or_run_is_told_in_the_runtime_s_words(local, make_release, model, feeds, why):
    with conversation(local, make_release()) as talk, pytest.raises(DeviceError) as caught:
        load_model(talk, other() if model is None else model)
        count_inferences(talk, feeds, samples=3)
    assert why in caught.value.why.lower()


@pytest.mark.slow
def test_a_counting_board_has_a_count_and_no_timing(local, make_release):
    local.emulated = local.counts_instructions = True
    measured = bench(local, make_release(), profile="long")
    assert measured.timing is None
    assert measured.golden.samples == 4
    assert measured.count.n == len(measured.count.samples) == 32
    assert len(measured.count.warmup) == 3
    assert 0 < measured.count.least <= measured.count.per_inference <= measured.count.most
    said = io.StringIO()
    Console(file=said, width=200).print(*measurement_tables(measured))
    assert "not a latency" in said.getvalue() and " ms" not in said.getvalue()


def test_the_figures_of_a_run():
    count = instruction_count(90, [50, 41], [40, 42, 41, 1000])
    assert (count.n, count.per_inference, count.least, count.most, count.mad) == (4, 41.5, 40, 1000, 1.0)
    assert (count.first_inference, count.warmup) == (90, (50, 41))


def test_a_count_is_merged_with_what_else_was_measured(measurement):
    counted = structs.replace(measurement, timing=None, accuracy=None, count=instruction_count(9, [], [8, 8]))
    merged = merge(counted, structs.replace(measurement, timing=None))
    assert merged.count == counted.count
    assert merged.accuracy == measurement.accuracy
