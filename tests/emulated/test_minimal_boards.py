"""Boards of busybox and sshd, of 64 and of 32 bits: they boot, and take releases as any other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, rollback
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.address import connect
from edgedeploy.device.emulator.board import BoardStatus, board_status, emulated_board
from edgedeploy.device.probe.probe import probe
from edgedeploy.targets.load import load_target

pytestmark = pytest.mark.emulated


@pytest.fixture(scope="module", params=["rpi4", "rpi2"])
def minimal(request: pytest.FixtureRequest) -> Iterator[BoardStatus]:
    name = f"pytest-{os.getpid()}-{request.param}"
    with emulated_board(name, target=request.param, minimal=True, delete=True) as status:
        yield status


def test_it_is_what_was_asked_for_and_no_more(minimal: BoardStatus) -> None:
    assert minimal.minimal and board_status(minimal.name).minimal
    target = load_target(minimal.target)
    with connect(minimal.address) as device:
        found = probe(device)
        assert device.run(["sh", "-c", "command -v python3 bash perl"]).stdout == b""
        assert device.run(["readlink", "/usr/bin/sh"]).stdout.strip() == b"/usr/bin/busybox"
    assert (found.pythons, found.libc.version, found.machine) == ((), "2.36", target.architecture)
    assert (found.cpu.lower(), found.cores) == (target.cpu.core, 2)
    assert found.fit is not None and found.fit.target == minimal.target


def test_releases_are_pushed_kept_and_taken_back(make_bundle, minimal: BoardStatus) -> None:
    architecture = load_target(minimal.target).architecture
    weights = {"weights": os.urandom(1 << 20), "runtime/lib/one.so": b"one"}
    with connect(minimal.address) as device:
        first = push(make_bundle(files=weights, architecture=architecture), device)
        assert first.activated and first.sent_bytes > 1 << 20
        bundle = make_bundle(version="2", files=weights, architecture=architecture)
        second = push(bundle, device)
        assert (second.activated, second.kept_files, second.release.parent) == (True, 3, first.release.id)
        assert broken_files(device, second.release) == ""
        assert device.run([f"{second.release.path}/run", "check"]).exit_status == 0
        # Other tests have models there too.
        assert rollback(device, "model").id == first.release.id == current_release(device, "model").id


# A convolution and a matrix product, as most models begin and end.
MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x, float[4,3,3,3] w, float[4,2] v) => (float[1,2] y) {
    c = Conv<pads=[1,1,1,1]>(x, w)
    r = Relu(c)
    m = GlobalAveragePool(r)
    f = Flatten(m)
    y = MatMul(f, v)
}
"""


PROGRAMS_FOR = {"rpi4": ("rpi4",), "rpi2": ("rpi2", "rpi-zero")}
"""Armv8, Armv7 and, on the Armv7 board, Armv6."""


def test_programs_of_every_arm_architecture_answer_there(minimal: BoardStatus, tmp_path: Path) -> None:
    """The release's own check holds the answers against onnxruntime's."""
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(MODEL)
    for value in list(model.graph.input)[1:]:
        shape = [extent.dim_value for extent in value.type.tensor_type.shape.dim]
        array = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        model.graph.input.remove(value)
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(3, 3, 8, 8)).astype(np.float32))
    for target in PROGRAMS_FOR[minimal.target]:
        bundle = compile_model(
            tmp_path / "model.onnx",
            load_target(target),
            tmp_path / target,
            name=f"for-{target}",
            backend="native",
            golden=str(tmp_path / "data.npz"),
        )
        with connect(minimal.address) as device:
            pushed = push(bundle, device)
        assert pushed.activated
        said = json.loads(pushed.health)
        assert (said["healthy"], said["golden_samples"]) == (True, 3) and said["cosine"] > 0.999999
