"""What is wrong in a file that a contract names is said with the contract's line, before a device is looked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgedeploy import api
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.files import sha256_file

_MODEL = '<ir_version: 8, opset_import: ["": 13]> g (float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }'
_CONTRACT = """schema = 1
[model]
name = "m"
version = "1"
framework = "none"
file = "model.onnx"
sha256 = "{sha256}"
[data]
metric = "top1"
evaluation = "evaluation.npz"
calibration = "calibration.npz"
[optimization]
recipe = "int8"
[limits]
metric_min = 0.5
"""


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    model = onnx.parser.parse_model(_MODEL)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    for name in ("evaluation", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((4, 2), np.float32), labels=np.zeros(4, np.int64))
    path = tmp_path / "contract.toml"
    path.write_text(_CONTRACT.format(sha256=sha256_file(tmp_path / "model.onnx")))
    return path


def _overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda contract: (contract.parent / name).write_bytes(content)


def _replace(old: str, new: str) -> Callable[[Path], object]:
    return lambda contract: contract.write_text(contract.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "line", "key", "exit_code"),
    [
        (lambda contract: (contract.parent / "model.onnx").unlink(), 6, "model.file", 3),
        (_overwrite("model.onnx", b"another"), 6, "model.file", 11),
        (_replace('"int8"', '"int9"'), 13, "optimization.recipe", 6),
        (_replace('"int8"', '"./none.toml"'), 13, "optimization.recipe", 3),
        (_replace('"top1"', '"top9"'), 9, "data.metric", 3),
        (_overwrite("evaluation.npz", b"no zip"), 10, "data.evaluation", 3),
        (_overwrite("calibration.npz", b""), 11, "data.calibration", 3),
        (
            lambda contract: np.savez(contract.parent / "evaluation.npz", x=np.zeros((4, 2), np.float32)),
            10,
            "data.evaluation",
            4,
        ),
        (
            lambda contract: np.savez(contract.parent / "calibration.npz", z=np.zeros((4, 2), np.float32)),
            11,
            "data.calibration",
            4,
        ),
    ],
)
def test_it_is_said_with_contract_line_and_key(
    contract: Path, spoil: Callable[[Path], object], line: int, key: str, exit_code: int
) -> None:
    spoil(contract)
    # A board of that name does not exist: had it been looked for first, that would be the error.
    with pytest.raises(EdgedeployError) as caught:
        api.ship(api.load_contract(contract), "board:none")
    assert caught.value.what.startswith(f"{contract}:{line}: {key}: "), caught.value
    assert caught.value.exit_code == exit_code


def test_limits_for_a_target_that_only_others_have_do_not_matter(contract: Path) -> None:
    contract.write_text(contract.read_text() + "[limits.target.theirs]\nlatency_p90_max_ms = 5.0\n")
    with pytest.raises(EdgedeployError, match="no board 'none'"):
        api.ship(api.load_contract(contract), "board:none")
