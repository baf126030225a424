from __future__ import annotations

import pytest

from edgedeploy.foundation.errors import InvalidFileError, UnknownNameError
from edgedeploy.foundation.files import config_folder
from edgedeploy.foundation.resources import folders
from edgedeploy.targets.load import load_target, target_names
from edgedeploy.targets.versions import is_version

RPI4 = (folders("targets")[1] / "rpi4.toml").read_text()


def own(name: str, text: str) -> None:
    path = config_folder() / "targets" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("name", target_names())
def test_every_target_that_is_shipped_is_sound(name):
    target = load_target(name)
    assert target.name == name
    assert target.sources
    assert list(target.memory_mb) == sorted(target.memory_mb)
    assert target.backends and len(set(target.backends)) == len(target.backends)
    systems = (target.os, *target.other_os)
    assert len({system.release for system in systems} - {""}) == len(systems)
    assert all(is_version(system.python) and is_version(system.glibc) for system in systems)
    assert all(system.page_size_bytes in (4096, 16384) for system in systems)
    assert (target.cpu.part is None) == (target.roofline is None) == name.startswith(("generic", "x86"))


def test_a_target_of_ones_own_is_listed_and_loaded():
    own("my-board", RPI4.replace("cortex-a72", "cortex-a53"))
    assert "my-board" in target_names()
    assert load_target("my-board").cpu.core == "cortex-a53"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RPI4.replace("[cpu]", "[cpu]\ncore_count = 4"), ["cpu.core_count: unknown key", "cores"]),
        (RPI4.replace('architecture = "aarch64"', 'architecture = "arm64"'), [":2: architecture", "arm64"]),
        (RPI4.replace("cores = 4", 'cores = "four"'), ["cpu.cores: expected `int`"]),
        (f'name = "other"\n{RPI4}', ["name is 'other'", "'mine'"]),
        ("title = ", ["not valid TOML"]),
    ],
)
def test_a_target_that_is_not_sound_is_refused_with_file_key_and_line(text, words):
    own("mine", text)
    with pytest.raises(InvalidFileError) as caught:
        load_target("mine")
    assert [word for word in ["mine.toml", *words] if word not in str(caught.value)] == []


def test_its_own_name_may_be_written_in_a_target():
    own("mine", f'name = "mine"\n{RPI4}')
    assert load_target("mine").name == "mine"


def test_the_system_that_is_meant_may_be_named() -> None:
    target = load_target("rpi4:trixie")
    assert (target.name, target.os.python, target.other_os) == ("rpi4", "3.13", ())
    with pytest.raises(UnknownNameError, match="target rpi4 has no system 'sid'") as caught:
        load_target("rpi4:sid")
    assert "bookworm, trixie" in caught.value.why


def test_an_unknown_target_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="no target 'rpi9'") as caught:
        load_target("rpi9")
    assert "rpi4" in caught.value.why
