"""The budget search from end to end: what it takes, what it leaves, and that it can be stopped."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree

import msgspec
import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.search.files import journal_path
from edgedeploy.optimize.search.pareto import holds_beyond_doubt
from edgedeploy.optimize.search.settings import SearchSettings
from edgedeploy.values.search import Search
from edgedeploy.values.speed import SpeedFigure

pytestmark = pytest.mark.slow

TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,12,12] x) => (float[N,10] y) <float zero = {0}, float six = {6}> {
        a = Conv <pads = [1,1,1,1]> (x, w)
        b = Clip(a, zero, six)
        c = Conv <pads = [1,1,1,1], strides = [2,2]> (b, v)
        d = Relu(c)
        e = GlobalAveragePool(d)
        f = Flatten(e)
        y = MatMul(f, m)
    }"""


@pytest.fixture
def model(tmp_path, rng):
    proto = onnx.parser.parse_model(TEXT)
    weights = {
        "w": rng.standard_normal((16, 3, 3, 3)),
        "v": rng.standard_normal((32, 16, 3, 3)) / 12,
        "m": rng.standard_normal((32, 10)) * 3,
    }
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(proto, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def data(tmp_path, model, rng):
    # Samples that differ in more than noise, so that the float model's answers are not all alike.
    x = rng.standard_normal((160, 3, 1, 1)) * 2 + rng.standard_normal((160, 3, 12, 12))
    x = x.astype(np.float32)
    labels = HostSession(model, exact=True).run({"x": x})[0].argmax(axis=1).astype(np.int64)
    np.savez(tmp_path / "e.npz", x=x, labels=labels)
    np.savez(tmp_path / "c.npz", x=x[::4] * np.float32(0.98))
    return {"evaluation": str(tmp_path / "e.npz"), "calibration": str(tmp_path / "c.npz")}


class Fixed:
    """A judge of speed that says what a test wrote down: integers are slow on this imaginary machine."""

    def __init__(self, ratio_of_integers: float) -> None:
        self._ratio = ratio_of_integers
        self.asked = 0

    def compare(self, source, candidate, feeds):
        self.asked += 1
        quantized = any("QuantizeLinear" in node.op_type for node in onnx.load_from_string(candidate).graph.node)
        ratio = self._ratio if quantized else 1.0
        return SpeedFigure(
            currency="host time", unit="ms", source=1.0, result=ratio, ratio=ratio, low=ratio, high=ratio,
            slower=ratio > 1.05, samples=3, where="a test",
        )  # fmt: skip


SETTINGS = SearchSettings(objective="size", time_budget_s=300)


def test_the_smallest_that_holds_is_taken_and_all_is_told(tmp_path, model, data):
    out = tmp_path / "out.onnx"
    evidence = optimize(model, load_recipe("auto"), out, max_drop=0.05, search_settings=SETTINGS, **data)
    assert evidence.accepted, evidence.reasons
    search = evidence.search
    assert search is not None and search.chosen is not None and search.ended == "all tried"
    trials = {trial.name: trial for trial in search.trials}
    assert out.stat().st_size == trials[search.chosen].size_bytes
    sure = [one for one in search.trials if one.size_bytes and not one.over_budget and holds_beyond_doubt(one, 0.05)]
    # Sizes that differ by less are as good as each other.
    assert out.stat().st_size <= 1.05 * min(one.size_bytes for one in sure)
    assert evidence.result is not None and evidence.result.size_bytes < 0.6 * evidence.source.size_bytes

    left = {path.name for path in tmp_path.glob("out.onnx*")}
    assert left == {f"out.onnx{end}" for end in ("", ".evidence.json", ".search.json", ".search.csv", ".search.svg")}
    assert msgspec.json.decode((tmp_path / "out.onnx.search.json").read_bytes(), type=Search) == search
    rows = list(csv.DictReader((tmp_path / "out.onnx.search.csv").open()))
    assert [row["name"] for row in rows] == [trial.name for trial in search.trials]
    assert [row["name"] for row in rows if row["chosen"] == "True"] == [search.chosen]
    ElementTree.parse(tmp_path / "out.onnx.search.svg")


def test_what_is_slower_is_not_taken(tmp_path, model, data):
    for objective in ("size", "speed", "balanced"):
        settings = SearchSettings(objective=objective)
        slow = optimize(
            model, load_recipe("auto"), tmp_path / "o.onnx", max_drop=0.05, speed=Fixed(1.5), search_settings=settings,
            **data,
        )  # fmt: skip
        assert slow.accepted and slow.speed is not None and not slow.speed.slower, slow.reasons
        assert "QuantizeLinear" not in (slow.result.operators if slow.result else {})
    fast = optimize(
        model, load_recipe("auto"), tmp_path / "o.onnx", max_drop=0.05, speed=Fixed(0.5), search_settings=settings,
        **data,
    )  # fmt: skip
    assert fast.speed is not None and fast.speed.ratio == 0.5


def test_a_layer_that_costs_too_much_stays_in_float(tmp_path, model, data):
    # One pixel is a thousand times the others: its range leaves one level to all that matters, in the first layer only.
    with np.load(data["evaluation"]) as loaded:
        x, labels = loaded["x"], loaded["labels"]
    wild = x.copy()
    wild[0, 0, 0, 0] = 3e4
    np.savez(tmp_path / "c.npz", x=wild[:40])
    np.savez(tmp_path / "e.npz", x=x, labels=labels)
    recipe = tmp_path / "mixed.toml"
    recipe.write_text(
        'title = "t"\ndescription = "d"\npasses = [{ name = "lift-constants" }]\n'
        '[[variants]]\nname = "int8"\nmixed = true\n'
        'passes = [{ name = "quantize-static", calibration = "min-max" }]\n'
    )
    evidence = optimize(
        model, load_recipe(str(recipe)), tmp_path / "o.onnx", max_drop=0.03, search_settings=SETTINGS, **data
    )
    assert evidence.accepted, evidence.reasons
    search = evidence.search
    assert search is not None and search.layers and search.layers[0].layer == "a"
    over = {trial.name for trial in search.trials if trial.over_budget}
    assert "int8" in over and search.chosen is not None and "in float" in search.chosen


def test_a_search_that_is_stopped_goes_on_where_it_was(tmp_path, model, data):

    class Stopping:
        notes: list[str]

        def __init__(self, at: str) -> None:
            self.at, self.notes, self.steps = at, [], []

        def step(self, text):
            self.steps.append(text)
            if self.at and text.startswith(self.at):
                raise KeyboardInterrupt

        def advance(self, done, total, unit):
            pass

        def note(self, text):
            self.notes.append(text)

    out = tmp_path / "out.onnx"
    arguments = {"max_drop": 0.05, "search_settings": SETTINGS, **data}
    with pytest.raises(KeyboardInterrupt):
        optimize(model, load_recipe("auto"), out, progress=Stopping("trial 3"), **arguments)
    assert [path.name for path in tmp_path.glob("out.onnx*")] == [journal_path(out).name]
    # The last line cut short, as a power cut leaves it.
    with journal_path(out).open("ab") as file:
        file.write(b'{"is":"trial","tri')
    going_on = Stopping("")
    resumed = optimize(model, load_recipe("auto"), out, progress=going_on, **arguments)
    assert "going on with a search that was stopped after 2 trials" in going_on.notes
    assert not journal_path(out).exists()
    whole = optimize(model, load_recipe("auto"), tmp_path / "whole.onnx", **arguments)
    assert (tmp_path / "whole.onnx").read_bytes() == out.read_bytes()
    assert resumed.search is not None and whole.search is not None
    assert [trial.name for trial in resumed.search.trials] == [trial.name for trial in whole.search.trials]


def test_another_models_journal_is_begun_anew(tmp_path, model, data):
    out = tmp_path / "out.onnx"
    journal_path(out).write_bytes(b'{"schema":1,"model":"another"}\n{"is":"trial","trial":5}\n')
    evidence = optimize(model, load_recipe("auto"), out, max_drop=0.05, search_settings=SETTINGS, **data)
    assert evidence.accepted


def test_a_folder_in_the_journals_place_is_told(tmp_path, model, data):
    out = tmp_path / "out.onnx"
    journal_path(out).mkdir()
    with pytest.raises(InvalidFileError, match="folder"):
        optimize(model, load_recipe("auto"), out, search_settings=SETTINGS, **data)


def test_when_time_is_up_the_best_so_far_is_taken(tmp_path, model, data):
    settings = SearchSettings(objective="size", time_budget_s=1e-6)
    evidence = optimize(
        model, load_recipe("auto"), tmp_path / "o.onnx", max_drop=0.05, search_settings=settings, **data
    )
    assert evidence.search is not None and evidence.search.ended == "time budget"
    assert [trial.name for trial in evidence.search.trials] == ["as prepared", "weights-int8"]
    assert evidence.accepted, evidence.reasons
    assert journal_path(tmp_path / "o.onnx").exists(), "with more time it goes on"


def test_without_any_data_it_still_works_and_says_what_it_did_not_judge(tmp_path, model):
    evidence = optimize(model, load_recipe("auto"), tmp_path / "o.onnx", search_settings=SETTINGS)
    assert evidence.accepted, evidence.reasons
    assert any("accuracy was not judged" in reason for reason in evidence.reasons)


def test_without_labels_the_answers_that_change_are_held_under_the_budget(tmp_path, model, data):
    evidence = optimize(
        model, load_recipe("auto"), tmp_path / "o.onnx", max_drop=0.02, search_settings=SETTINGS,
        calibration=data["calibration"], metric="top1",
    )  # fmt: skip
    assert evidence.accepted, evidence.reasons
    assert evidence.executions[0].agreement.top1_match is not None
    assert evidence.executions[0].agreement.top1_match >= 0.98


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[finish]]\nname = "remove-dead-code"\n', "is a search, and has none to try"),
        ('[[variants]]\nname = "a"\npasses = []\n[[variants]]\nname = "a"\npasses = []\n', "two are called 'a'"),
        (
            '[[variants]]\nname = "a"\npasses = []\n[pruning]\npass = { name = "fold-constants" }\nratios = [0.1]\n',
            "fold-constants has no setting `ratio`",
        ),
        ('[[variants]]\nname = "a"\npasses = [{ name = "fry" }]\n', "fry"),
    ],
)
def test_mistakes_in_a_search_are_told(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(f'title = "t"\ndescription = "d"\npasses = [{{ name = "lift-constants" }}]\n{text}')
    with pytest.raises(InvalidFileError) as caught:
        load_recipe(str(path))
    assert message in str(caught.value)


def test_the_file_of_a_search_holds_what_the_evidence_does(tmp_path, model, data):
    optimize(model, load_recipe("auto"), tmp_path / "o.onnx", max_drop=0.05, search_settings=SETTINGS, **data)
    evidence = json.loads((tmp_path / "o.onnx.evidence.json").read_bytes())
    assert evidence["search"] == json.loads((tmp_path / "o.onnx.search.json").read_bytes())
