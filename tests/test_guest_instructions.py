"""What the judge makes of counts; the counting itself is in tests/emulated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edgedeploy import guest_instructions
from edgedeploy.device.emulator.board import board_status
from edgedeploy.device.emulator.state import boards_folder
from edgedeploy.errors import BusyError, DeviceError, UnknownNameError, UnsupportedError
from edgedeploy.guest_instructions import speed_judge
from edgedeploy.measure.counting import Feed
from edgedeploy.optimize.comparison import ResultFailedError
from edgedeploy.optimize.host_timing import HostTiming
from edgedeploy.progress import SILENT

FEEDS = [{"x": np.zeros((1, 3), np.float32)}, {"x": np.ones((1, 3), np.float32)}]
COUNTS = {b"float": 20_000_000, b"lean": 12_000_000, b"alike": 20_100_000, b"worse": 20_900_000, b"huge": 2 * 10**9}


class Runner:
    """Counts what `COUNTS` says, with the noise of a timer."""

    def __init__(self, *_: object) -> None:
        self.asked: list[tuple[bytes, int]] = []

    def count(self, model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        self.asked.append((model, samples))
        return tuple(COUNTS[model] + 100 * index for index in range(samples))


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    runner = Runner()
    monkeypatch.setattr(guest_instructions, "_Runner", lambda *_: runner)
    monkeypatch.setattr(guest_instructions, "_own_board", lambda *_: None)
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
    with speed_judge("board:rpi4") as judge:
        with pytest.raises(ValueError, match="feed"):
            judge.compare(b"float", b"lean", [])
        with pytest.raises(UnsupportedError, match="TensorFlow Lite"):
            judge.compare(b"float", b"....TFL3", FEEDS)
    assert not boards_folder().exists()


def test_whoever_counts_meanwhile_has_a_board_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    booted: list[tuple[str, str | None]] = []

    @contextlib.contextmanager
    def emulated_board(name: str, *, target: str | None = None, **_: object) -> Iterator[None]:
        booted.append((name, target))
        yield

    monkeypatch.setattr(guest_instructions, "emulated_board", emulated_board)
    named = board_status("rpi4")
    with contextlib.ExitStack() as one, contextlib.ExitStack() as other:
        guest_instructions._own_board(named, one, SILENT)
        guest_instructions._own_board(named, other, SILENT)
        one.close()
        guest_instructions._own_board(named, one, SILENT)
        assert booted == [("rpi4-counting", "rpi4"), ("rpi4-counting-2", "rpi4"), ("rpi4-counting", "rpi4")]
        monkeypatch.setattr(guest_instructions, "_MOST_BOARDS", 2)
        with pytest.raises(BusyError, match="2 others"):
            guest_instructions._own_board(named, one, SILENT)


def test_a_model_that_fails_there_ends_only_its_own_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Connection:
        address = "board:rpi4-counting"

        def __enter__(self) -> Connection:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    @contextlib.contextmanager
    def conversation(*_: object) -> Iterator[int]:
        started.append(len(started))
        yield started[-1]

    def count_model(talk: int, model: bytes, feeds: object, *, samples: int) -> tuple[int, ...]:
        if model == b"bad":
            raise DeviceError("the runner cannot do that", why="unknown operator")
        return (talk,) * samples

    for name, replacement in {
        "connect": lambda *_: Connection(),
        "_carrier": lambda *_: None,
        "conversation": conversation,
        "count_model": count_model,
    }.items():
        monkeypatch.setattr(guest_instructions, name, replacement)
    with contextlib.ExitStack() as stack:
        runner = guest_instructions._Runner(board_status("rpi4"), stack)
        assert runner.count(b"good", FEEDS, 1) == (0,)
        with pytest.raises(DeviceError, match="does not run on board:rpi4-counting") as caught:
            runner.count(b"bad", FEEDS, 1)
        assert caught.value.why == "unknown operator"
        assert runner.count(b"good", FEEDS, 1) == (1,)
