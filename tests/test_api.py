"""One table says what the library offers: to Python, to type checkers, and to `dir`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgedeploy import api


def test_the_stub_is_what_the_table_says() -> None:
    assert Path(api.__file__).with_suffix(".pyi").read_text(encoding="utf-8") == api.stub()


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(api, name) is not None


def test_dir_lists_the_names_before_any_is_loaded() -> None:
    script = "import edgedeploy.api as api; print(dir(api) == sorted(api.__all__) and 'ship' in dir(api))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        api.nope  # noqa: B018
