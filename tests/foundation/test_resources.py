from __future__ import annotations

from pathlib import Path

import pytest

from edgedeploy.foundation import resources as data_files
from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.foundation.files import config_folder


def own(kind: str, name: str) -> Path:
    path = config_folder() / kind / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_what_is_shipped_is_found():
    assert "rpi4" in data_files.names("targets")
    assert data_files.find("targets", "rpi4").name == "rpi4.toml"


def test_the_users_own_is_found_and_wins():
    mine = own("targets", "my-board")
    assert data_files.find("targets", "my-board") == mine
    assert "my-board" in data_files.names("targets")
    assert "my-board" not in data_files.names("quantize")
    own_rpi4 = own("targets", "rpi4")
    assert data_files.find("targets", "rpi4") == own_rpi4


@pytest.mark.parametrize("name", ["rpi9", "", "../targets/rpi4", "rpi4.toml", "/etc/passwd", "a\0b", "RPI4"])
def test_an_unknown_name_lists_what_there_is(name):
    with pytest.raises(UnknownNameError) as caught:
        data_files.find("targets", name)
    assert "rpi4" in caught.value.why
    assert str(config_folder()) in caught.value.hint
