"""What the judge makes of counts; the counting itself is in tests/emulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx.parser
import pytest

from edgedeploy.device.emulator.state import boards_folder
from edgedeploy.foundation.errors import DeviceError, UnknownNameError, UnsupportedError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.optimize.guard.host_timing import HostTiming
from edgedeploy.workflows.emulated import instruction_counts as guest_instructions
from edgedeploy.workflows.emulated.board_runner import tflite_host_model
from edgedeploy.workflows.emulated.instruction_counts import GuestInstructions
from edgedeploy.workflows.judges import speed_judge

FEEDS = [{"x": np.zeros((1, 3), np.float32)}, {"x": np.ones((1, 3), np.float32)}]
COUNTS = {b"float": 20_000_000, b"lean": 12_000_000, b"alike": 20_100_000, b"worse": 20_900_000, b"huge": 2 * 10**9}


class Runner:
    """Counts what `COUNTS` says, with the noise of a timer."""

    def __init__(self, *_: object) -> None:
        self.asked: list[tuple[bytes, int]] = []

    def count(self, model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        self.asked.append((model, samples))
        return tuple(COUNTS[model] + 100 * index for index in range(samples))

    def load(self, model: bytes) -> None:
        if b"bad" in model:
            raise DeviceError("the runner cannot do that", why="unknown operator")

    def infer(self, model: bytes, feed: Feed) -> dict[str, np.ndarray]:
        if "x" not in feed:
            raise DeviceError("the runner cannot do that", why="x is missing")
        return {"second": feed["x"] + 2, "first": feed["x"] + 1, "n": np.array(len(feed))}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    runner = Runner()
    monkeypatch.setattr(guest_instructions, "BoardRunner", lambda *_: runner)
    yield runner


def test_ratios_are_of_instructions(runner: Runner) -> None:
    with speed_judge("board:rpi4") as judge:
        figure = judge.compare(b"float", b"lean", FEEDS)
        assert (figure.currency, figure.unit, figure.samples) == ("guest instructions", "instructions", 8)
        assert figure.ratio == pytest.approx(0.6, rel=1e-4)
        assert figure.low <= figure.ratio <= figure.high
        assert not figure.slower
        assert figure.where == "board:rpi4 (cortex-a72)"
        assert not judge.compare(b"float", b"alike", FEEDS).slower
        assert judge.compare(b"float", b"worse", FEEDS).slower


def test_each_model_is_counted_once_on_the_same_feeds(runner: Runner) -> None:
    with speed_judge("board:rpi4") as judge:
        judge.compare(b"float", b"lean", FEEDS)
        judge.compare(b"float", b"lean", [feed.copy() for feed in FEEDS])
        assert runner.asked == [(b"float", 3), (b"float", 8), (b"lean", 8)]
        judge.compare(b"float", b"worse", FEEDS)
        assert runner.asked[3:] == [(b"worse", 8)]
        judge.compare(b"float", b"lean", FEEDS[:1])
        assert len(runner.asked) == 7


def test_a_large_model_is_counted_a_few_times(runner: Runner) -> None:
    with speed_judge("board:rpi4") as judge:
        assert judge.compare(b"huge", b"float", FEEDS).samples == 3
    assert runner.asked == [(b"huge", 3), (b"float", 3)]


def test_a_candidate_that_fails_is_told_from_a_board_that_does(monkeypatch: pytest.MonkeyPatch, runner: Runner) -> None:
    def count(model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        if model == b"bad":
            raise DeviceError("the model does not run", why="unknown operator")
        return (1000,) * samples

    monkeypatch.setattr(runner, "count", count)
    with speed_judge("board:rpi4") as judge:
        with pytest.raises(ResultFailedError, match="on board:rpi4: unknown operator"):
            judge.compare(b"float", b"bad", FEEDS)
        with pytest.raises(DeviceError, match="the model does not run"):
            judge.compare(b"bad", b"float", FEEDS)


def test_who_judges() -> None:
    with speed_judge(None) as judge:
        assert isinstance(judge, HostTiming)
    with pytest.raises(UnsupportedError, match="not judged on ssh://pi"), speed_judge("ssh://pi"):
        pytest.fail("a device tells no instructions")
    with pytest.raises(UnknownNameError, match="no board 'nosuch'"), speed_judge("board:nosuch"):
        pytest.fail("there is no such board")


def test_nothing_is_booted_for_what_cannot_be_judged() -> None:
    with speed_judge("board:rpi4") as judge, pytest.raises(ValueError, match="feed"):
        judge.compare(b"float", b"lean", [])
    assert not boards_folder().exists()


def test_a_model_answers_from_the_board(runner: Runner) -> None:
    text = """<ir_version: 3, opset_import: ["": 17]>
    g (float[1,3] x, float[1] w) => (float[1,3] first, float[1,3] second, int64 n) <float[1] w = {1}>
    { first = Add(x, w) second = Add(first, w) n = Size(x) }"""
    model = onnx.parser.parse_model(text).SerializeToString()
    with speed_judge("board:rpi4") as judge:
        assert isinstance(judge, GuestInstructions)
        session = judge.session(model)
        assert (session.input_names, session.output_names) == (("x",), ("first", "second", "n"))
        answers = session.run({"x": np.zeros((1, 3), np.float32), "bound": np.ones(1)})
        assert [float(answer.max()) for answer in answers] == [1.0, 2.0, 1.0]
        with pytest.raises(UnsupportedError) as caught:
            session.run({})
        assert caught.value.why == "x is missing"
        with pytest.raises(ResultFailedError, match="unknown operator"):
            judge.session(b"a bad one")


def test_a_tensorflow_lite_model_answers_from_the_board_too(runner: Runner) -> None:
    with speed_judge("board:rpi4") as judge:
        assert isinstance(judge, GuestInstructions)
        session = judge.session(tflite_host_model())
        assert (session.input_names, session.output_names) == (("x",), ("y",))
