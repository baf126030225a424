from __future__ import annotations

import pytest
from support.probed_boards import PC, RPI2, RPI3, RPI4, RPI4_32, RPI5, ZERO, ZERO_2, probed, without

from edgedeploy.foundation.files import config_folder
from edgedeploy.targets.features import with_implied
from edgedeploy.targets.fit import fit_target
from edgedeploy.targets.load import load_target
from edgedeploy.values.probe import Fit
from edgedeploy.values.target import Target


def fit(text: str, *, only: str | None = None) -> tuple[Target, Fit]:
    found = fit_target(probed(text), only=only)
    assert found is not None
    return found


def _32(text: str) -> str:
    """The same board with an operating system of 32 bits on its kernel of 64."""
    shell = next(line for line in RPI4_32.splitlines() if line.startswith("shell"))
    return without(text, "shell", "loader", "python") + f"{shell}\nloader /lib/ld-linux-armhf.so.3\npython 3.11 32\n"


_QEMU = "linux,dummy-virt"

BOARDS = {
    "rpi5": RPI5,
    "rpi4": RPI4,
    "rpi4-32": RPI4_32,
    "rpi3": RPI3,
    "rpi3-32": _32(RPI3),
    "rpi2": RPI2,
    "rpi-zero-2w": ZERO_2,
    "rpi-zero-2w-32": _32(ZERO_2),
    "rpi-zero": ZERO,
    "x86-64": PC,
    "generic-aarch64": RPI4.replace("0xd08", "0xd04").replace("Raspberry Pi 4", "Khadas"),
    "generic-armv7": RPI2.replace("0xc07", "0xc09").replace("Raspberry Pi 2", "Wandboard"),
}


@pytest.mark.parametrize("name", BOARDS)
def test_every_target_is_found_by_what_its_board_says(name: str) -> None:
    target, found = fit(BOARDS[name])
    assert (found.target, target.name, found.but) == (name, name, ())
    assert target.os == load_target(name).os
    assert any(target.architecture in reason for reason in found.why)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (RPI4.replace("Raspberry Pi 4 Model B Rev 1.4", _QEMU), "rpi4"),
        (RPI5.replace("Raspberry Pi 5 Model B Rev 1.0", _QEMU), "rpi5"),
        (RPI3.replace("Raspberry Pi 3 Model B Plus Rev 1.3", _QEMU), "rpi3"),
        (ZERO_2.replace("Raspberry Pi Zero 2 W Rev 1.0", _QEMU), "rpi-zero-2w"),
        (RPI4.replace("Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi Compute Module 4 Rev 1.0"), "rpi4"),
        # Revision 1.2 of a Raspberry Pi 2 has the cores of a 3.
        (RPI3.replace("Raspberry Pi 3 Model B Plus Rev 1.3", "Raspberry Pi 2 Model B Rev 1.2"), "rpi3"),
        # A shell alone: nothing is known but the architecture.
        ("machine aarch64\n", "generic-aarch64"),
        ("machine armv7l\n", "generic-armv7"),
    ],
)
def test_boards_that_say_less_or_something_else(text: str, name: str) -> None:
    assert fit(text)[1].target == name


def test_a_machine_that_no_target_is_for() -> None:
    assert fit_target(probed("machine riscv64\n")) is None
    assert fit_target(probed(PC.replace("avx2 ", ""))) is None
    assert fit_target(probed(RPI4), only="rpi5") is None
    assert fit_target(probed(RPI4), only="no-such-target") is None


def test_a_target_that_is_named_may_have_other_cores_with_its_features() -> None:
    """QEMU has no board like a Raspberry Pi 2, only cores that can do what its cores can."""
    emulated = RPI2.replace("0xc07", "0xc0f").replace("Raspberry Pi 2 Model B Rev 1.1", _QEMU)
    assert fit(emulated)[1].target == "generic-armv7"
    target, found = fit(emulated, only="rpi2")
    assert (target.name, found.but) == ("rpi2", ("its cores are Cortex-A15, not cortex-a7",))


def test_the_system_is_the_one_that_the_device_has() -> None:
    trixie = RPI4.replace("bookworm", "trixie").replace("python 3.11", "python 3.13").replace("2.36", "2.41")
    target, found = fit(trixie)
    assert (found.target, target.os.python, target.os.glibc, target.other_os) == ("rpi4:trixie", "3.13", "2.41", ())
    assert target.os == load_target("rpi4:trixie").os
    # Another distribution with the same versions will do as well.
    target, found = fit(RPI4.replace("VERSION_CODENAME=bookworm", "VERSION_CODENAME=faye"))
    assert (found.target, found.but) == ("rpi4", ())


def test_a_system_that_is_not_listed_is_built_for_as_it_is() -> None:
    old = RPI4.replace('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"', 'PRETTY_NAME="Buildroot 2026.02"')
    target, found = fit(old.replace("python 3.11", "python 3.10").replace("glibc 2.36", "glibc 2.35"))
    assert (target.os.name, target.os.python, target.os.glibc) == ("Buildroot 2026.02", "3.10", "2.35")
    assert found.target == "rpi4" and "Python 3.10 and glibc 2.35" in found.but[0]


def test_another_page_size_than_usual_is_taken_and_told() -> None:
    target, found = fit(RPI5.replace("page 16384", "page 4096"))
    assert target.os.page_size_bytes == 4096
    assert found.but == ("its pages have 4,096 bytes, not 16,384 as by default on rpi5",)


def test_backends_that_the_device_cannot_have_are_left_out() -> None:
    target, found = fit(without(RPI4, "python"))
    assert set(target.backends) == {"onnxruntime-c", "native"}
    assert found.but == ("it has no 64-bit Python 3: not for onnxruntime, tflite",)
    musl = without(RPI4, "python", "libc", "loader") + "loader /lib/ld-musl-aarch64.so.1\nlibc musl libc (aarch64)\n"
    assert fit(musl)[0].backends == ("native",)
    static = without(RPI4, "python", "libc", "loader")
    target, found = fit(static)
    assert target.backends == ("native",)
    assert "no shared C library" in " ".join(found.but)
    # Programs of 32 bits on a kernel of 64: its Python is one of them.
    assert set(fit(BOARDS["rpi3-32"])[0].backends) == {"tflite", "native"}


def test_less_memory_than_is_sold_is_told() -> None:
    _, found = fit(RPI3.replace("930484", "230000"))
    assert found.but == ("it has 224 MB of memory, the target 512 MB at least",)


def test_a_broken_target_of_ones_own_stands_in_nobodys_way() -> None:
    folder = config_folder() / "targets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text("title = 1")
    assert fit(RPI4)[1].target == "rpi4"


def test_a_target_of_ones_own_is_found_by_its_board() -> None:
    folder = config_folder() / "targets"
    folder.mkdir(parents=True)
    text = '\n'.join((
        'title = "Ours"', 'architecture = "aarch64"', "memory_mb = [4096]", 'backends = ["native"]',
        'boards = ["Raspberry Pi 4 Model B Rev 1.4"]', 'sources = ["us"]',
        '[cpu]\ncore = "cortex-a72"\ncores = 4\nclock_mhz = 2000\nfeatures = ["asimd"]',
        '[os]\nname = "Ours"\npython = "3.11"\nglibc = "2.36"',
    ))  # fmt: skip
    (folder / "ours.toml").write_text(text)
    target, found = fit(RPI4)
    assert (found.target, target.backends) == ("ours", ("native",))


def test_what_one_feature_brings_with_it() -> None:
    assert {"neon", "vfpv4", "idiva"} < with_implied(["asimd"])
    assert with_implied(["neon"]) == {"neon", "vfp", "vfpv3", "vfpd32"}
    assert with_implied(["asimddp"]) == {"asimddp"}
