"""Command lines, run in this process as a user types them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from edgedeploy.cli.main import main


class Done(NamedTuple):
    """What a command line left."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def edgedeploy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command line: `edgedeploy("inspect", "model.onnx")`."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["edgedeploy", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run
