"""One table of Arm's cores: here, and in the two runners, which import nothing of edgedeploy."""

from __future__ import annotations

import re
from pathlib import Path

import edgedeploy.runner
from edgedeploy.device.probe.arm_cores import ARM_CORES, IMPLEMENTER
from edgedeploy.runner.python import runner

C_SOURCE = Path(edgedeploy.runner.__file__).parent / "c" / "device.c"


def test_the_runner_in_python_has_the_same() -> None:
    assert (runner.ARM_CORES, runner.ARM) == (ARM_CORES, IMPLEMENTER)


def test_the_runner_in_c_has_the_same() -> None:
    found = re.findall(r'\{(0x[0-9A-F]{3}), "([^"]+)"\}', C_SOURCE.read_text())
    assert {int(part, 16): name for part, name in found} == ARM_CORES
