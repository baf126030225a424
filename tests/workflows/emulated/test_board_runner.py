"""Who gets which board, and what becomes of a runner; the board itself is in tests/emulated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.device.emulator.board import BoardStatus, board_status
from edgedeploy.device.emulator.state import BoardState, board_folder, write_state
from edgedeploy.foundation.errors import BusyError, DeviceError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.workflows.emulated import board_runner
from edgedeploy.workflows.emulated.board_runner import BoardRunner

FEED = {"x": np.zeros((1, 3), np.float32)}


def test_whoever_counts_meanwhile_has_a_board_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    booted: list[tuple[str, str | None]] = []

    @contextlib.contextmanager
    def emulated_board(name: str, *, target: str | None = None, **_: object) -> Iterator[None]:
        booted.append((name, target))
        yield

    monkeypatch.setattr(board_runner, "emulated_board", emulated_board)
    named = board_status("rpi4")
    with contextlib.ExitStack() as one, contextlib.ExitStack() as other:
        board_runner.claim_board(named, one, SILENT)
        board_runner.claim_board(named, other, SILENT)
        one.close()
        board_runner.claim_board(named, one, SILENT)
        assert booted == [("rpi4-counting", "rpi4"), ("rpi4-counting-2", "rpi4"), ("rpi4-counting", "rpi4")]
        monkeypatch.setattr(board_runner, "MOST_BOARDS", 2)
        with pytest.raises(BusyError, match="2 others"):
            board_runner.claim_board(named, one, SILENT)


def test_a_board_of_another_release_does_not_count_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    board_folder("rpi4-counting").mkdir(parents=True)
    write_state(board_folder("rpi4-counting"), BoardState(target="rpi4", image="", os="bookworm", disk_mb=2048))
    booted = []

    @contextlib.contextmanager
    def emulated_board(name: str, *, target: str, os: str, **_: object) -> Iterator[BoardStatus]:
        booted.append((name, target, os))
        yield board_status("rpi4")

    monkeypatch.setattr(board_runner, "emulated_board", emulated_board)
    for release in ("trixie", "bookworm"):
        with contextlib.ExitStack() as stack:
            named = structs.replace(board_status("rpi4"), os=release)
            board_runner.claim_board(named, stack, SILENT)
    assert booted == [("rpi4-counting-2", "rpi4", "trixie"), ("rpi4-counting", "rpi4", "bookworm")]


class Board:
    """Runners that are numbered. They refuse the model `bad`, and one that `worn` has run on fails with every other."""

    address = "board:rpi4-counting"

    def __init__(self) -> None:
        self.started = 0
        self.ended = 0
        self.loads: list[tuple[int, bytes]] = []
        self.worn: set[int] = set()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextlib.contextmanager
    def conversation(self, *_: object) -> Iterator[int]:
        self.started += 1
        yield self.started
        self.ended += 1

    def load_model(self, talk: int, model: bytes) -> None:
        if model == b"bad" or talk in self.worn:
            raise DeviceError("the runner cannot do that", why="unknown operator")
        if model == b"worn":
            self.worn.add(talk)
        self.loads.append((talk, model))


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board()
    for name, replacement in {
        "claim_board": lambda *_: board_status("rpi4"),
        "connect": lambda *_: board,
        "host_release": lambda *_: None,
        "conversation": board.conversation,
        "load_model": board.load_model,
        "count_inferences": lambda talk, feeds, *, samples: (talk,) * samples,
    }.items():
        monkeypatch.setattr(board_runner, name, replacement)
    return board


def test_a_model_that_stays_is_loaded_once(board: Board) -> None:
    with contextlib.ExitStack() as stack:
        runner = BoardRunner(board_status("rpi4"), stack)
        runner.load(b"one")
        assert runner.count(b"one", [FEED], 2) == (1, 1)
        runner.count(b"other", [FEED], 1)
        runner.count(b"one", [FEED], 1)
    assert board.loads == [(1, b"one"), (1, b"other"), (1, b"one")]
    assert (board.started, board.ended) == (1, 1)


def test_a_model_is_blamed_only_by_a_runner_of_its_own(board: Board) -> None:
    with contextlib.ExitStack() as stack:
        runner = BoardRunner(board_status("rpi4"), stack)
        runner.load(b"worn")
        assert runner.count(b"good", [FEED], 1) == (2,), "what is left of another model is not its fault"
        with pytest.raises(DeviceError) as caught:
            runner.count(b"bad", [FEED], 1)
        assert caught.value.why == "unknown operator"
        assert board.started == board.ended == 3
        assert runner.count(b"good", [FEED], 1) == (4,)
