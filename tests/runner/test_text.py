"""Text in and out of both runners: golden samples, messages, health."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.releases import run_in_c

from edgedeploy.device.local import LocalConnection
from edgedeploy.measure.bench import bench
from edgedeploy.measure.evaluate import test as run_test
from edgedeploy.values.bundle import Release

pytestmark = pytest.mark.slow

TEXTS = ["a\0b", "e\u0301 é 😀", "", "line\nnew\ttab", "x" * 5000]
LABELLER = """
    <ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    labeller (string[1, N] words, string one, int64[1, 3] k, string[R, 2] rows)
        => (string[1, N] same, string alone, string[1, 3] label, string[R, 2] table, int64[1, N] places)
    {
        same = Identity(words)
        alone = Identity(one)
        label = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1, 2], values_strings = ["cat", "dög", "🐟"]> (k)
        table = Identity(rows)
        places = ai.onnx.ml.LabelEncoder <keys_strings = ["", "x"], values_int64s = [7, 8], default_int64 = 9> (words)
    }
"""


def feed(number: int) -> dict[str, np.ndarray]:
    words = TEXTS[: number + 1]
    return {
        "words": np.array([words], object),
        "one": np.array(TEXTS[number], object),
        "k": np.array([[0, 2, number % 3]]),
        "rows": np.full((number % 2, 2), "row", object),
    }


@pytest.fixture(params=["python", "c"])
def make(request: pytest.FixtureRequest, make_release: Callable[..., Release]) -> Callable[..., Release]:
    def made(**settings: object) -> Release:
        release = make_release(LABELLER, [feed(number) for number in range(len(TEXTS))], **settings)
        return run_in_c(release, request.getfixturevalue("c_runner")) if request.param == "c" else release

    return made


def checked(release: Release) -> dict[str, object]:
    done = subprocess.run([f"{release.path}/run", "check"], capture_output=True, check=False, timeout=120)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_text_that_is_the_golden_one_is_healthy(make: Callable[..., Release]) -> None:
    answer = checked(make())
    assert answer["problem"] is None
    assert answer["cosine"] == 1.0


def test_other_text_is_not(make: Callable[..., Release]) -> None:
    def others(outputs: list[np.ndarray]) -> list[np.ndarray]:
        return [*outputs[:2], np.full(outputs[2].shape, "cow", object), *outputs[3:]]

    answer = checked(make(kept=others))
    assert answer["problem"] == "output label is not the golden one: 0 % of its texts are the same"


def test_it_is_timed(make: Callable[..., Release]) -> None:
    release = make()
    done = subprocess.run(
        [f"{release.path}/run", "bench", "--seconds", "0.05"], capture_output=True, check=False, timeout=120
    )
    assert json.loads(done.stdout)["ok"] is True


def test_the_device_answers_as_the_host_does(
    make: Callable[..., Release], local: LocalConnection, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(len(TEXTS)):
        np.savez(
            data / f"{number}.npz",
            **{
                name: np.array(array.tolist(), dtype=array.dtype if array.dtype.kind == "i" else str).reshape(
                    array.shape
                )
                for name, array in feed(number).items()
            },
        )
    measured = run_test(local, make(), str(data))
    assert measured.accuracy is not None
    assert measured.accuracy.agreement.text_match == 1.0
    assert {name: each.text_match for name, each in measured.accuracy.by_output.items()} == {
        "same": 1.0, "alone": 1.0, "label": 1.0, "table": 1.0, "places": None,
    }  # fmt: skip


def test_golden_answers_are_compared_while_it_is_timed(make: Callable[..., Release], local: LocalConnection) -> None:
    measured = bench(local, make(), profile="smoke")
    assert measured.golden is not None
    assert measured.golden.text_match == 1.0
