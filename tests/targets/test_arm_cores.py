from __future__ import annotations

import re

import pytest

from edgedeploy.runner import c_headers
from edgedeploy.targets.arm_cores import arm_core_name, arm_core_parts
from edgedeploy.targets.load import load_target, target_names

RUNNER = c_headers().parent
COPIES = {
    language: "\n".join(path.read_text(encoding="utf-8") for path in sorted(RUNNER.glob(pattern)))
    for language, pattern in (("Python", "python/*.py"), ("C", "c/*.c"))
}


@pytest.mark.parametrize("language", COPIES)
def test_what_runs_on_a_board_names_cores_alike(language: str) -> None:
    pairs = re.findall(r'(0x[BCD][0-9A-F]{2})(?::|,) "([A-Za-z0-9 -]+)"', COPIES[language])
    assert {int(part, 16): name for part, name in pairs} == {part: arm_core_name(part) for part in arm_core_parts()}


@pytest.mark.parametrize("name", target_names())
def test_a_targets_part_is_that_of_its_core(name: str) -> None:
    cpu = load_target(name).cpu
    if cpu.part is not None:
        # GCC's names of cores are Arm's in lower case; of ARM1176 there are several.
        assert cpu.core.startswith(arm_core_name(cpu.part).lower())


def test_a_core_that_is_not_in_the_table() -> None:
    assert arm_core_name(0xFFF) == "Arm part 0xfff"
