"""TensorFlow Lite on real boards: a model that came as ONNX on a Pi 4, and a `.tflite` file on a 32-bit one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from support.handed_over import hand_over
from support.tflite_models import small_network

from edgedeploy import api
from edgedeploy.compile.onnx_to_tflite import environment
from edgedeploy.device.emulator.board import BoardStatus, emulated_board

pytestmark = pytest.mark.emulated


def test_a_converted_model_answers_there_as_the_onnx_model_does(board: BoardStatus, tmp_path: Path) -> None:
    if environment.interpreter() is None:
        pytest.skip("onnx2tf needs Python 3.12 or 3.13, and this machine has none")
    folder = hand_over(tmp_path / "in").parent
    bundle = api.compile(
        folder / "model.onnx",
        api.load_target("rpi4"),
        tmp_path / "out",
        name="direction-tflite",
        backend="tflite",
        golden=str(folder / "calibration.npz"),
        golden_samples=2,
    )
    with np.load(folder / "evaluation.npz") as whole:
        np.savez(tmp_path / "evaluation.npz", **{key: whole[key][:24] for key in whole.files})
    with api.connect(board.address) as device:
        release = api.push(bundle, device).release
        # Golden outputs are the ONNX model's, so that is what `bench` compares with; `test` takes the converted one.
        bench = api.bench(device, release, profile="smoke")
        measured = api.test(device, release, str(tmp_path / "evaluation.npz"))
    assert bench.golden and bench.golden.top1_match == 1.0 and bench.golden.sqnr_db and bench.golden.sqnr_db > 80
    assert measured.accuracy and measured.accuracy.metric and measured.accuracy.metric.value > 0.9
    assert measured.accuracy.agreement.top1_match == 1.0
    assert set(measured.conditions.runtime) == {"ai-edge-litert", "numpy"}


# The runner is the same on 64 bits, and 32-bit boards take releases in test_minimal_boards.
@pytest.mark.long
def test_a_32_bit_board_runs_it_with_debians_numpy(tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(small_network())
    np.savez(tmp_path / "inputs.npz", image=np.random.default_rng(0).random((12, 16, 16, 3), np.float32))
    bundle = api.compile(tmp_path / "small.tflite", api.load_target("rpi2"), tmp_path / "out", golden_samples=2)
    with (
        emulated_board(f"pytest-{os.getpid()}-rpi2", target="rpi2", os="bookworm", delete=True) as status,
        api.connect(status.address) as device,
    ):
        release = api.push(bundle, device).release
        measured = api.test(device, release, str(tmp_path / "inputs.npz"), metric="top1")
    assert measured.conditions.machine == "armv7l"
    assert set(measured.conditions.runtime) == {"tflite-runtime", "numpy"}
    assert measured.accuracy and measured.accuracy.agreement.top1_match == 1.0
    assert measured.accuracy.agreement.sqnr_db and measured.accuracy.agreement.sqnr_db > 80
