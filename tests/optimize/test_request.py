"""All that `optimize` is asked is resolved once, at the door."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.foundation.errors import DatasetError, UnknownNameError, UnsupportedError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.request import open_request

TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,4] x) => (float[N,3] y) { y = MatMul(x, w) }"""


@pytest.fixture
def ask(tmp_path, rng):
    proto = onnx.parser.parse_model(TEXT)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal((4, 3)).astype(np.float32), "w"))
    onnx.save(proto, tmp_path / "m.onnx")
    x = rng.standard_normal((20, 4)).astype(np.float32)
    np.savez(tmp_path / "labelled.npz", x=x, labels=np.zeros(20, np.int64))
    np.savez(tmp_path / "unlabelled.npz", x=x)

    def ask(recipe="fold", *, output="out.onnx", calibration=None, evaluation=None, metric="top1", max_drop=0.01):
        return open_request(
            tmp_path / "m.onnx",
            load_recipe(recipe),
            tmp_path / output,
            calibration=calibration and str(tmp_path / calibration),
            evaluation=evaluation and str(tmp_path / evaluation),
            metric=metric,
            max_drop=max_drop,
            target=None,
            speed=None,
            board=None,
            allowed=("larger",),
            search=None,
            progress=SILENT,
        )

    return ask


def test_it_cannot_be_changed(ask):
    request = ask()
    with pytest.raises(AttributeError):
        request.max_drop = 1.0
    with pytest.raises(AttributeError):
        request.source.content = b""


def test_results_are_compared_on_the_best_data_there_is(ask):
    assert ask().evaluation().data.name == "generated inputs"
    assert ask(calibration="unlabelled.npz").evaluation().data.name == "the calibration data"
    judged = ask(calibration="unlabelled.npz", evaluation="labelled.npz").evaluation()
    assert judged.data.name == "the evaluation data" and judged.metric.name == "top1"


def test_without_labels_there_is_no_metric(ask):
    assert ask(evaluation="unlabelled.npz").metric is None
    assert ask(evaluation="labelled.npz").metric is not None


def test_the_guard_holds_a_recipe_to_its_promise_and_a_search_to_none(ask):
    fold = ask("fold", evaluation="labelled.npz").guard_request()
    assert fold.evaluation.tolerance == load_recipe("fold").tolerance is not None
    assert fold.allowed == frozenset({"larger"})
    search = ask("auto", calibration="unlabelled.npz", evaluation="labelled.npz").guard_request()
    assert search.evaluation.tolerance is None


def test_passes_see_calibration_data_and_a_few_feeds(ask):
    context = ask(calibration="unlabelled.npz").context()
    assert context.calibration is not None and len(context.probes) == 2
    assert context.memo is not ask(calibration="unlabelled.npz").context().memo


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"max_drop": -0.1}, UnsupportedError, "max_drop"),
        ({"max_drop": float("nan")}, UnsupportedError, "max_drop"),
        ({"output": "m.onnx"}, UnsupportedError, "is the model itself"),
        ({"recipe": "int8"}, DatasetError, "needs calibration data"),
        ({"recipe": "int8"}, DatasetError, "quantized activations get their ranges"),
        ({"recipe": "prune"}, DatasetError, "prune-channels measures on sample inputs what matters least"),
        ({"recipe": "sparse"}, DatasetError, "sparsify measures on sample inputs what matters least"),
        ({"metric": "top3"}, UnknownNameError, "top3"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(ask, settings, kind, message):
    with pytest.raises(kind, match=message):
        ask(**settings)
