"""The cross-compiler says what it is doing when it has to compile a C library first."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.heard import Heard

from edgedeploy.compile.dependencies.zig import c_library_mark, compile_c, static_machine
from edgedeploy.targets.load import load_target


# With a cold cache it takes the minutes that it is about.
@pytest.mark.slow
@pytest.mark.keeps_cache
def test_a_c_library_that_is_not_there_yet_is_a_step_of_its_own(tmp_path: Path) -> None:
    machine = static_machine(load_target("x86-64"))
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    c_library_mark(machine).unlink(missing_ok=True)
    heard = []
    for name in ("first", "second"):
        steps = Heard()
        compile_c([tmp_path / "main.c"], tmp_path / name, machine, progress=steps)
        heard.append(steps.steps)
    assert "compiling the C library for x86_64-linux-musl" in heard[0][0]
    assert heard[0][1:] == ["compiling the program"]
    assert heard[1] == []
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
