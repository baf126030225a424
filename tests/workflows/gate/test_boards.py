"""Which board a gate asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from edgedeploy.workflows.gate import boards


@pytest.mark.parametrize(
    ("target", "release"), [("rpi4", "bookworm"), ("rpi4:trixie", "trixie"), ("rpi5:bookworm", "bookworm")]
)
def test_its_system_is_the_targets_whichever_machine_boots_it(
    target: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    @contextlib.contextmanager
    def up(name: str, **words: object) -> Iterator[None]:
        asked.append(words["os"])
        yield

    monkeypatch.setattr(boards, "emulated_board", up)
    monkeypatch.setattr("edgedeploy.device.emulator.systems.own_release", lambda: "trixie")
    with boards.gate_board(target, minimal=True, progress=boards.SILENT):
        pass
    assert asked == [release]
