"""`edgedeploy test`: a dataset on a device against the same model here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError, DeviceError, IntegrityError, UnknownNameError
from edgedeploy.measure import evaluate as module
from edgedeploy.measure import streaming
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.values.measurement import Accuracy
from edgedeploy.values.quality import Agreement, Broken, MetricFigure

pytestmark = pytest.mark.slow

measure = module.test

NEGATED = """
    <ir_version: 8, opset_import: ["" : 17]>
    negated (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {-1, 2, -3, 4, 5, -6}> { y = MatMul(x, w) }
"""


@pytest.fixture
def evaluation(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Fifty samples, labelled as `CLASSIFIER` answers them but for the first five."""
    x = rng.standard_normal((50, 3)).astype(np.float32)
    labels = (x @ np.array([[1, -2], [3, 4], [-5, 6]])).argmax(axis=1)
    labels[:5] = 1 - labels[:5]
    np.savez(tmp_path / "evaluation.npz", x=x, labels=labels)
    return tmp_path / "evaluation.npz"


def test_device_and_host_answer_alike(local, make_release, evaluation):
    found = measure(local, make_release(), str(evaluation)).accuracy
    assert found.metric == found.host_metric == MetricFigure(name="top1", value=0.9, samples=50)
    assert found.samples == found.agreement.samples == 50
    assert found.agreement.top1_match == 1.0
    assert found.evaluation_sha256 == hashlib.sha256(evaluation.read_bytes()).hexdigest()
    assert not found.partial
    assert found.broken == Broken(count=0, first=())
    assert found.classes is not None and found.classes.count == 2
    assert all(one.samples == one.same and one.right == one.reference_right for one in found.classes.worst)


def test_the_figures_are_the_devices(local, make_release, evaluation):
    """A device that answers something else is seen in agreement and metric, and the host's metric stays."""
    release = make_release()
    runner = Path(release.path, "edgedeploy_runner/release.py")
    runner.write_text(runner.read_text().replace("run(self.outputs, feed)", "run(self.outputs, {'x': -feed['x']})"))
    found = measure(local, release, str(evaluation)).accuracy
    assert found.metric.value == pytest.approx(0.1)
    assert found.host_metric.value == pytest.approx(0.9)
    assert found.agreement.top1_match == 0.0
    # All but the five with wrong labels were right.
    assert found.broken == Broken(count=45, first=tuple(range(5, 25)))
    assert sum(one.samples for one in found.classes.worst) == 50
    assert sum(one.right for one in found.classes.worst) == 5
    assert all(one.same == 0 for one in found.classes.worst)


def test_each_output_is_looked_at_by_itself(local, make_release, tmp_path):
    """The error of one of two outputs, which both together hide."""
    two = """
        <ir_version: 8, opset_import: ["" : 17]>
        two (float[N, 3] x) => (float[N, 3] large, float[N, 3] small)
        <float thousand = {1000.0}> { large = Mul(x, thousand)  small = Identity(x) }
    """
    release = make_release(two, [{"x": np.ones((1, 3), np.float32)}])
    runner = Path(release.path, "edgedeploy_runner/release.py")
    spoiled = "(lambda found: [found[0], -found[1]])(self.session.run(self.outputs, feed))"
    runner.write_text(runner.read_text().replace("self.session.run(self.outputs, feed)", spoiled))
    np.savez(tmp_path / "data.npz", x=np.ones((6, 3), np.float32))
    accuracy = measure(local, release, str(tmp_path / "data.npz")).accuracy
    assert list(accuracy.by_output) == ["large", "small"]
    assert accuracy.by_output["large"].sqnr_db is None
    assert accuracy.by_output["small"].cosine == -1.0
    assert accuracy.agreement.cosine > 0.99999


def test_data_without_labels_has_agreement_only(local, make_release, tmp_path):
    np.savez(tmp_path / "inputs.npz", x=np.ones((3, 3), np.float32))
    found = measure(local, make_release(), str(tmp_path / "inputs.npz")).accuracy
    assert found.metric is None and found.host_metric is None
    assert found.agreement.samples == 3
    assert found.classes is None and found.broken is None


@pytest.mark.parametrize(("limit", "samples", "partial"), [(7, 7, True), (50, 50, False), (99, 50, False)])
def test_a_part_of_the_data_is_told_as_one(local, make_release, evaluation, limit, samples, partial):
    found = measure(local, make_release(), str(evaluation), limit=limit).accuracy
    assert (found.samples, found.partial) == (samples, partial)


def endless():
    while True:
        yield {"x": np.ones((1, 3), np.float32)}


def test_a_part_of_endless_data_has_an_end(local, make_release):
    found = measure(local, make_release(), f"{__name__}:endless", limit=3).accuracy
    assert (found.samples, found.partial, found.evaluation_sha256) == (3, True, "")


def test_feeds_and_answers_larger_than_every_buffer_do_not_block(local, make_release, tmp_path):
    """Each way more than pipes hold, several at once."""
    model = """
        <ir_version: 8, opset_import: ["" : 17]>
        twice (float[N, M] x) => (float[N, M] y) { y = Add(x, x) }
    """
    x = np.zeros((12, 500_000), np.float32)
    np.savez(tmp_path / "inputs.npz", x=x)
    found = measure(local, make_release(model, [{"x": x[:1, :4]}]), str(tmp_path / "inputs.npz")).accuracy
    assert found.samples == 12 and found.agreement.max_abs_error == 0


def test_no_more_samples_are_read_than_are_under_way(local, make_release):
    """The bound of the memory."""
    taken = 0

    def samples():
        nonlocal taken
        for _ in range(40):
            taken += 1
            yield streaming.Sample({"x": np.ones((1, 3), np.float32)}, None, 1)

    with conversation(local, make_release()) as talk:
        talk.ask({"do": "load"})
        for number, _ in enumerate(streaming.stream(talk, samples()), start=1):
            assert number <= taken <= number + streaming.SAMPLES_AHEAD + 1
    assert taken == 40


def test_a_model_that_was_touched_on_the_device_is_not_believed(local, make_release, evaluation):
    release = make_release()
    Path(release.path, "model.onnx").write_bytes(Path(make_release(NEGATED).path, "model.onnx").read_bytes())
    with pytest.raises(IntegrityError, match="not the one that was pushed"):
        measure(local, release, str(evaluation))


def test_a_model_that_is_gone_is_told(local, make_release, evaluation):
    release = make_release()
    Path(release.path, "model.onnx").unlink()
    with pytest.raises(DeviceError, match="cannot be read"):
        measure(local, release, str(evaluation))


def test_mistakes_in_data_and_metric_are_told_before_the_device_is_asked(make_release, evaluation, tmp_path):
    np.savez(tmp_path / "wrong.npz", x=np.ones((3, 4), np.float32))
    with pytest.raises(DatasetError):
        measure(None, make_release(), str(tmp_path / "wrong.npz"))
    with pytest.raises(UnknownNameError):
        measure(None, make_release(), str(evaluation), metric="top7")


def test_data_that_goes_wrong_in_the_middle_ends_the_run(local, make_release, tmp_path):
    folder = tmp_path / "feeds"
    folder.mkdir()
    for index in range(8):
        np.savez(folder / f"{index}.npz", x=np.ones((1, 3 if index < 6 else 4), np.float32))
    with pytest.raises(DatasetError, match=r"6\.npz"):
        measure(local, make_release(), str(folder))


def test_a_runner_that_dies_in_the_middle_is_told(local, make_release, evaluation):
    release = make_release()
    runner = Path(release.path, "edgedeploy_runner/release.py")
    dies = 'self.asked = getattr(self, "asked", 0) + 1\n        if self.asked > 20: os._exit(9)\n'
    source = runner.read_text()
    assert source.count("        if self.session is None:\n") == 1
    runner.write_text(
        source.replace("        if self.session is None:\n", f"        {dies}        if self.session is None:\n")
    )
    with pytest.raises(DeviceError, match="exit status 9"):
        measure(local, release, str(evaluation))


def test_ctrl_c_leaves_no_runner_behind(local, make_release, evaluation, monkeypatch):
    processes = []
    receive = Conversation.receive

    def interrupted(self):
        processes.append(self.process)
        if len(processes) > 10:
            raise KeyboardInterrupt
        return receive(self)

    monkeypatch.setattr(Conversation, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(local, make_release(), str(evaluation))
    assert processes[0].wait(10.0).exit_status == 137


# -- the answer


def accuracy(*, top1=1.0, sqnr_db=30.0, drop=0.0, nonfinite=0, labels=True) -> Accuracy:
    return Accuracy(
        evaluation="e.npz",
        evaluation_sha256="0" * 64,
        samples=100,
        metric=MetricFigure(name="top1", value=0.97 - drop, samples=100) if labels else None,
        host_metric=MetricFigure(name="top1", value=0.97, samples=100) if labels else None,
        agreement=Agreement(
            samples=100,
            top1_match=top1,
            max_abs_error=0.1,
            mean_abs_error=0.01,
            cosine=0.999,
            sqnr_db=sqnr_db,
            nonfinite_elements=nonfinite,
        ),
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (accuracy(), None),
        (accuracy(top1=0.99), None),
        (accuracy(top1=0.98), "98.00%"),
        (accuracy(drop=0.01), None),
        (accuracy(drop=0.011), "0.0110 under"),
        (accuracy(top1=0.99, sqnr_db=3.0), None),
        (accuracy(top1=None), None),
        (accuracy(top1=None, sqnr_db=None), None),
        (accuracy(top1=None, sqnr_db=19.0, labels=False), "19.0 dB"),
        (accuracy(nonfinite=3), "NaN"),
    ],
)
def test_the_answer_is_no_for_a_reason(found, reason):
    reasons = module.disagreements(found, min_agreement=0.99, min_sqnr_db=20.0, max_drop=0.01)
    assert bool(reasons) == (reason is not None)
    if reason:
        assert reason in reasons[0]
