"""What a line that installs something installs, and where."""

from __future__ import annotations

import shlex
import sys

import pytest

from edgedeploy.foundation.extras import extra_line, pip_line


@pytest.mark.parametrize(("extra", "package"), [("native", "ziglang"), ("tflite", "ai-edge-litert")])
def test_an_extra_is_what_it_brings_for_this_very_python(extra: str, package: str) -> None:
    words = shlex.split(extra_line(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert any(word.startswith(f"{package}>=") for word in words[4:])
    assert not any("edgedeploy" in word for word in words[4:])


def test_one_that_is_not_ours_is_named_as_it_is() -> None:
    assert extra_line("abacus") == pip_line("edgedeploy[abacus]")


def test_a_folder_with_a_blank_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/me/my tools/bin/python")
    assert shlex.split(pip_line("x>=1"))[0] == "/home/me/my tools/bin/python"
