"""Where the time goes, by the real profiler of this machine's onnxruntime."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from msgspec import structs

from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.measure.profile import output_in_words, profile
from edgedeploy.measure.protocol import Conversation
from edgedeploy.report.terminal.profile import profile_tables
from edgedeploy.values.bundle import Release

pytestmark = pytest.mark.slow

(ONNXRUNTIME,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
MODEL = """
    <ir_version: 8, opset_import: ["" : 17]>
    work (float[N, 256] x) => (float[N, 256] y) {
        t = Transpose<perm = [1, 0]>(x)
        s = MatMul(t, x)
        a = MatMul(s, s)
        [the_mean] m = ReduceMean<axes = [0], keepdims = 1>(a)
        y = Add(x, m)
    }
"""
FEEDS = [{"x": np.ones((4, 256), np.float32)}, {"x": np.zeros((2, 256), np.float32)}]


@pytest.fixture(params=["python", "c"])
def runs_on(request: pytest.FixtureRequest, make_release, c_runner: Path):
    """A maker of releases with the runner in Python, or the one in C."""

    def make(*arguments: object, **more: object) -> Release:
        release = make_release(*arguments, **more)
        if request.param == "c":
            folder = Path(release.path)
            (folder / "run").unlink()
            shutil.copy(c_runner, folder / "run")
            (folder / "runtime").mkdir()
            (folder / "runtime/libonnxruntime.so.1").symlink_to(ONNXRUNTIME)
        return release

    return make


def test_nodes_and_operators(local, runs_on, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    found = profile(local, runs_on(MODEL, FEEDS))
    assert (found.unit, found.runs, found.release) == ("us", 20, "1-abc")
    assert {one.operator: one.nodes for one in found.by_operator}.keys() >= {"MatMul", "ReduceMean", "Add"}
    by_operator = [one.per_inference for one in found.by_operator]
    assert by_operator == sorted(by_operator, reverse=True) and by_operator[0] > 0
    assert {node.name: node.output for node in found.nodes}["the_mean"] == "float 1x256"
    assert [node.per_inference for node in found.nodes] == sorted((n.per_inference for n in found.nodes), reverse=True)
    assert sum(node.share for node in found.nodes) == pytest.approx(1)
    assert sum(one.per_inference for one in found.by_operator) == pytest.approx(found.per_inference)
    title, operators, nodes = profile_tables(found, top=2)
    assert "1-abc" in title.plain
    assert nodes.row_count == 2 and operators.row_count == len(found.by_operator)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_no_folder_to_write_the_trace_to(local, runs_on, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release = runs_on(MODEL, FEEDS)
    if (Path(release.path) / "runtime").exists():  # Python takes another folder then
        monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
        with pytest.raises(DeviceError) as caught:
            profile(local, release)
        assert "no folder to write to" in caught.value.why and "nowhere" in caught.value.why


def test_units(local, make_release) -> None:
    release = make_release(MODEL, FEEDS)
    local.emulated = True
    assert profile(local, release).unit == "emulated us"
    local.counts_instructions = True
    found = profile(local, release)
    assert (found.unit, found.runs) == ("instructions", 5)
    assert found.per_inference > 10_000


def test_a_release_without_golden_inputs(local, runs_on) -> None:
    with pytest.raises(DeviceError) as caught:
        profile(local, runs_on(feeds=[]))
    assert "no golden samples" in caught.value.why


def test_a_backend_without_a_profiler(local, make_release) -> None:
    release = make_release()
    runtime = structs.replace(release.manifest.runtime, backend="native")
    release = structs.replace(release, manifest=structs.replace(release.manifest, runtime=runtime))
    with pytest.raises(UnsupportedError, match="no profiler"):
        profile(local, release)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([{"uint8": [1, 16, 24, 96]}, {"float": [1]}], "uint8 1x16x24x96"),
        ([{"float": []}], "float"),
        ([{"\x1b[0m": ["\x07"]}], "�[0m �"),
        ([{"float": 3}], ""),
        ([{}], ""),
        ([3], ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_what_a_node_gives(shapes: object, words: str) -> None:
    assert output_in_words(shapes) == words


def trace(*events: object) -> np.ndarray:
    return np.frombuffer(json.dumps(events).encode(), np.uint8)


RUNS = [{"name": "model_run", "cat": "Session", "ts": turn, "dur": 1} for turn in range(21)]


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"trace": np.zeros(3, np.float32)},
        {"trace": np.frombuffer(b"\xff{", np.uint8)},
        {"trace": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"trace": trace(1)},
        {"trace": trace({"name": 3})},
        {"trace": trace(*RUNS[1:])},
        {"trace": trace(*RUNS, {"name": "a_kernel_time", "cat": "Node", "ts": 5, "dur": -1})},
        {"trace": trace(*RUNS, {"name": "a_kernel_time", "cat": "Node", "ts": 5, "dur": 1 << 70})},
    ],
)
def test_what_is_no_profile(
    local, make_release, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, np.ndarray]
) -> None:
    real = Conversation.receive

    def receive(talk: Conversation) -> object:
        message, _ = found = real(talk)
        return (message, arrays) if message["is"] == "profile" else found

    monkeypatch.setattr(Conversation, "receive", receive)
    with pytest.raises(DeviceError, match="no valid profile") as caught:
        profile(local, make_release(MODEL, FEEDS))
    assert "compile" in caught.value.hint
