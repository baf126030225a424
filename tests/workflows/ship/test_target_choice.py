"""What `ship` builds for, by what the device says of itself; and what it refuses before any work."""

from __future__ import annotations

import pytest
from support.probed_boards import RPI4, RPI4_32, RPI5, without

from edgedeploy.device.connection import Completed
from edgedeploy.foundation.errors import DeviceError, UnknownNameError, UnsupportedError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.targets.backends import runs_onnxruntime_operators
from edgedeploy.targets.load import load_target
from edgedeploy.values.target import Target
from edgedeploy.workflows.ship.target_choice import choose_target


class Board:
    """A device that says one thing."""

    emulated = False
    counts_instructions = False
    emulator = None
    address = "ssh://board"

    def __init__(self, said: str) -> None:
        self._said = said.encode()

    def run(self, *_: object, **__: object) -> Completed:
        return Completed(exit_status=0, stdout=self._said, stderr=b"")


def target(said: str, name: str | None = None, backend: str = "auto") -> Target:
    return choose_target(Board(said), "ssh://board", name, backend, SILENT)


def test_by_default_it_is_the_one_that_fits_best() -> None:
    assert (target(RPI5).name, target(RPI4).name, target(RPI4_32).name) == ("rpi5", "rpi4", "rpi4-32")
    assert target(RPI4).backends == load_target("rpi4").backends


def test_without_python_it_is_for_backends_that_need_none() -> None:
    assert target(without(RPI4, "python")).backends == target(without(RPI4, "python"), "rpi4").backends
    assert not {"onnxruntime", "tflite"} & set(target(without(RPI4, "python")).backends)


def test_one_that_is_named_is_built_for_if_the_device_can_run_it() -> None:
    assert target(RPI4, "generic-aarch64").name == "generic-aarch64"
    assert target(RPI4, "rpi4:trixie").os.python == "3.13"
    with pytest.raises(DeviceError, match=r"target rpi5 is for cores with .*asimddp"):
        target(RPI4, "rpi5")
    with pytest.raises(UnknownNameError, match="no target 'rpi9'"):
        target(RPI4, "rpi9")


def test_a_device_that_no_target_is_for() -> None:
    with pytest.raises(DeviceError, match="ssh://board is riscv64, and no target is for such a device"):
        target("machine riscv64\n")


def test_a_backend_that_is_named_is_what_the_model_is_optimized_for() -> None:
    assert target(RPI4, backend="native").backends == ("native",)
    assert not runs_onnxruntime_operators(target(RPI4, backend="native"))
    with pytest.raises(UnsupportedError, match="as a rpi4 cannot have the backend 'tflite'") as caught:
        target(without(RPI4, "python"), backend="tflite")
    assert "no 64-bit Python 3" in caught.value.why and "native" in caught.value.hint
