"""One rule says who judges speed."""

from __future__ import annotations

import pytest
from msgspec import structs

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.optimize.guard.host_timing import HostTiming
from edgedeploy.targets.load import load_target
from edgedeploy.workflows.emulated.instruction_counts import GuestInstructions
from edgedeploy.workflows.judges import NOBODY, judges, judges_itself


@pytest.mark.parametrize("address", [None, "local:", "local:/srv/device"])
@pytest.mark.parametrize("before_push", [False, True])
def test_this_machine_judges_for_itself_and_for_no_device(address: str | None, before_push: bool) -> None:
    with judges(address, target=load_target("x86-64"), before_push=before_push) as found:
        assert isinstance(found.speed, HostTiming)
        assert (found.board, found.unjudged) == (None, "")


def test_an_emulated_board_judges_answers_too() -> None:
    with judges("board:rpi4", target=load_target("rpi4"), before_push=True) as found:
        assert isinstance(found.speed, GuestInstructions) and found.board is found.speed


def test_a_board_without_the_runtime_judges_nothing_and_that_is_said() -> None:
    target = structs.replace(load_target("rpi4"), backends=("native",))
    with judges("board:rpi4", target=target) as found:
        assert (found.speed, found.board) == (None, None)
        assert "rpi4 cannot have onnxruntime" in found.unjudged
    with judges("board:rpi4", target=target, model_format="tflite") as found:
        assert "cannot have tflite" in found.unjudged


@pytest.mark.parametrize("address", ["ssh://pi", "pi@192.0.2.1", "pi"])
def test_a_device_judges_once_the_result_is_there(address: str) -> None:
    assert judges_itself(address)
    with judges(address, before_push=True) as found:
        assert found.speed is None and f"{address} judges it itself" in found.unjudged
    with pytest.raises(UnsupportedError) as caught, judges(address):
        pytest.fail("nothing is installed for it")
    assert "ship" in caught.value.hint


def test_nobody_says_so() -> None:
    assert NOBODY.speed is None and NOBODY.unjudged
