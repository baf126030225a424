"""A device is an argument, or `--to` or `--on`: with every command that takes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
import pytest

from edgedeploy.cli.catalog import SUMMARIES
from edgedeploy.cli.main import cli

WITH_DEVICE = (
    "probe",
    "push",
    "releases",
    "rollback",
    "status",
    "logs",
    "uninstall",
    "smoke",
    "bench",
    "profile",
    "test",
    "ship",
    "demo",
    "optimize",
)
WORDS = {
    "push": ["no.bundle"],
    "ship": ["no.toml"],
    "test": ["--evaluation", "no.npz"],
    "uninstall": ["--yes"],
    "optimize": ["no.onnx", "--recipe", "fold", "-o", "out.onnx"],
}


def devices() -> Iterator[str]:
    context = click.Context(cli)
    for name in SUMMARIES:
        command = cli.get_command(context, name)
        assert command is not None
        if any(parameter.name == "device" for parameter in command.params):
            yield name


def test_these_are_all() -> None:
    assert sorted(devices()) == sorted(WITH_DEVICE)


@pytest.mark.parametrize("command", WITH_DEVICE)
def test_argument_and_options_are_one(command: str, edgedeploy: Callable[..., object]) -> None:
    """Each fails alike, over a file or a device that is not there; none over its command line."""
    nobody = "ssh://127.0.0.1:1"
    words = [command, *WORDS.get(command, [])]
    ended = [edgedeploy(*words, *given) for given in ([nobody], ["--to", nobody], ["--on", nobody])]
    assert ended[0].exit_code not in (0, 2)  # type: ignore[attr-defined]
    assert {(done.exit_code, done.stderr) for done in ended} == {(ended[0].exit_code, ended[0].stderr)}  # type: ignore[attr-defined]
    same = edgedeploy(*words, nobody, "--to", nobody)
    assert same.exit_code == ended[0].exit_code  # type: ignore[attr-defined]
    two = edgedeploy(*words, "local:", "--to", nobody)
    assert two.exit_code == 2 and "two devices" in two.stderr  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", [name for name in WITH_DEVICE if name not in ("smoke", "optimize", "demo")])
def test_without_a_device_the_forms_of_one_are_said(command: str, edgedeploy: Callable[..., object]) -> None:
    done = edgedeploy(command, *WORDS.get(command, []))
    assert done.exit_code == 2 and "'DEVICE'" in done.stderr and "board:NAME" in done.stderr  # type: ignore[attr-defined]


def test_the_address_of_a_board_is_its_name_too(edgedeploy: Callable[..., object]) -> None:
    assert edgedeploy("board", "status", "board:none") == edgedeploy("board", "status", "none")
