"""What is read of a device's answer, whoever gives it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.probed_boards import ARM, RPI4, RPI4_32, RPI5, ZERO, probed

from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection
from edgedeploy.device.probe.c_library import read_c_library
from edgedeploy.device.probe.elf_header import Header
from edgedeploy.device.probe.elf_header import read as read_header
from edgedeploy.device.probe.probe import probe, read_answer
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.probe import CLibrary, Probe, Python, System


def test_of_a_raspberry_pi_4() -> None:
    found = probed(RPI4, "ssh://pi@rpi4")
    assert found == Probe(
        address="ssh://pi@rpi4",
        machine="aarch64",
        kernel="Linux 6.6.51+rpt-rpi-v8",
        board="Raspberry Pi 4 Model B Rev 1.4",
        system=System(name="Debian GNU/Linux 12 (bookworm)", id="debian", version="12", codename="bookworm"),
        architectures=("aarch64",),
        userland_bits=64,
        cpu="Cortex-A72",
        cpu_part=0xD08,
        cpu_features=("asimd", "cpuid", "crc32", "evtstrm", "fp"),
        cores=4,
        clock_max_mhz=1800.0,
        clock_now_mhz=600.0,
        governor="ondemand",
        memory_total_bytes=3884344 << 10,
        memory_available_bytes=1942172 << 10,
        swap_total_bytes=204796 << 10,
        swap_free_bytes=204796 << 10,
        disk_free_bytes=25861748 << 10,
        page_size_bytes=4096,
        libc=CLibrary(kind="glibc", version="2.36"),
        pythons=(Python(version="3.11", bits=64),),
        temperature_c=48.686,
        throttled=("under-voltage now", "throttled now", "under-voltage has occurred", "throttling has occurred"),
    )


def test_programs_of_32_bits_on_a_kernel_of_64() -> None:
    found = probed(RPI4_32)
    assert (found.machine, found.userland_bits, found.architectures) == ("aarch64", 32, ("armv7l", "armv6l"))
    assert probed(RPI4 + "loader /lib/ld-linux-armhf.so.3\n").architectures == ("aarch64", "armv7l", "armv6l")
    assert probed(ZERO).architectures == ("armv6l",)
    # Nothing but a kernel's name.
    assert probed("machine armv8l\n").architectures == ("armv7l", "armv6l")
    assert probed("machine arm64\n").architectures == ("aarch64",)
    assert probed("").architectures == ()


@pytest.mark.parametrize(
    ("lines", "page"),
    [
        ("page 16384", 16384),
        ("page 12345", None),
        ("page 16384; rm -rf /", None),
        # What the kernel hands to a program of 32 bits: AT_HWCAP (16), AT_PAGESZ (6).
        (f"shell {ARM}\nauxv 10 00 00 00 d6 b0 3f 00 06 00 00 00 00 10 00 00\nauxv 11 00 00 00 64 00 00 00", 4096),
        (f"shell {ARM}\nauxv zz", None),
        ("auxv 06 00 00 00 00 10 00 00", None),
    ],
)
def test_page_size(lines: str, page: int | None) -> None:
    assert probed(lines).page_size_bytes == page


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["glibc 2.36"], ("glibc", "2.36")),
        (["ldd (Debian GLIBC 2.31-13+rpt2+rpi1+deb11u5) 2.31"], ("glibc", "2.31")),
        (["ldd (GNU libc) 2.34", "Copyright (C) 2021 Free Software Foundation, Inc."], ("glibc", "2.34")),
        (["GNU C Library (Ubuntu GLIBC 2.39-0ubuntu8.4) stable release version 2.39."], ("glibc", "2.39")),
        (["GNU C Library (GNU libc) stable release version 2.31 (20200201)."], ("glibc", "2.31")),
        (["edgedeploy: ldd: not found", "/usr/lib/arm-linux-gnueabihf/libc-2.28.so"], ("glibc", "2.28")),
        (["/usr/lib/aarch64-linux-gnu/libc.so.6"], ("unknown", "")),
        (["musl libc (aarch64)", "Version 1.2.4_git20230717"], ("musl", "1.2")),
        (["musl libc (armhf)", "Version 1.2.5"], ("musl", "1.2")),
        (["glibc 99999.1"], ("unknown", "")),
        ([], ("unknown", "")),
    ],
)
def test_c_libraries(lines: list[str], expected: tuple[str, str]) -> None:
    found = read_c_library(lines, [], has_loader=True, asked=True)
    assert (found.kind, found.version) == expected


def test_no_c_library_is_known_only_when_it_was_asked_for() -> None:
    assert read_c_library([], [], has_loader=False, asked=True).kind == "none"
    assert read_c_library([], [], has_loader=False, asked=False).kind == "unknown"
    assert read_c_library([], ["3.11 64 glibc 2.41"], has_loader=False, asked=True).version == "2.41"
    assert read_c_library([], ["3.11 64 another"], has_loader=True, asked=True).kind == "unknown"


def test_cores_of_two_kinds_have_what_both_have() -> None:
    found = probed(RPI4 + "cpu CPU part\t: 0xd03\ncpu Features\t: fp asimd\n")
    assert (found.cpu_part, found.cpu_features, found.cpu) == (None, ("asimd", "fp"), "")


@pytest.mark.parametrize(
    ("online", "cores"),
    [("0-3", 4), ("0", 1), ("0-1,4-5", 4), ("3-0", 4), ("0-9999", 4), ("x", 4), ("0-3\nprocessors 2", 4)],
)
def test_cores(online: str, cores: int) -> None:
    """`processors` counts where the list of cores cannot be believed."""
    assert probed(RPI4.replace("online 0-3", f"online {online}")).cores == cores


def test_a_words_terminal_commands_are_taken_out() -> None:
    found = probed(RPI4.replace("Raspberry Pi 4", "\x1b[2J\x1b]0;owned\x07Raspberry \u202ePi" + "x" * 500))
    assert found.board.isprintable() and len(found.board) <= 160


_KEYS = sorted({line.split(" ", 1)[0] for line in RPI4.splitlines()} | {"auxv", "nothing"})
_hostile_line = st.builds(
    lambda key, value: f"{key} {value}\n",
    st.sampled_from(_KEYS),
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["9" * 400, "-1", "0x" + "f" * 20, "1 2 3 4 5 6 7", "0-99999999", "\x00", "٣.١١ 64", "= = ="]),
        st.lists(st.sampled_from(["ff", "7f", "45", "4c", "46", "00", "02", "zz"]), max_size=80).map(" ".join),
    ),
)


@given(st.lists(_hostile_line, max_size=30), st.binary(max_size=40))
def test_whatever_a_device_says_is_bounded_and_printable(lines: list[str], noise: bytes) -> None:
    found = read_answer("".join(lines).encode(errors="surrogatepass") + noise, "device")
    encoded = msgspec.json.encode(found)
    assert msgspec.json.decode(encoded, type=Probe) == found
    words = [found.machine, found.kernel, found.board, found.cpu, found.governor, *found.cpu_features]
    words += [found.system.name, found.system.id, found.system.version, found.system.codename]
    assert all(word.isprintable() for word in words)
    assert len(encoded) < 20_000
    assert found.cores is None or 0 < found.cores <= 4096
    sizes = (found.memory_total_bytes, found.memory_available_bytes, found.disk_free_bytes, found.page_size_bytes)
    assert all(size is None or 0 <= size < 1 << 64 for size in sizes)


@given(st.binary(max_size=64))
def test_a_header_is_read_or_not(content: bytes) -> None:
    read_header(content)
    assert read_header(bytes.fromhex(ARM) + content) == Header("arm", 32)


class Answers:
    """A device that answers everything with the same words."""

    address = "ssh://liar"
    emulated = False
    counts_instructions = False
    emulator = None

    def __init__(self, stdout: bytes, exit_status: int = 0) -> None:
        self._completed = Completed(exit_status=exit_status, stdout=stdout, stderr=b"sh: not\x1b[2Jfound")

    def run(self, *_: object, **__: object) -> Completed:
        return self._completed


@pytest.mark.parametrize(
    "answer", [b"", b"This account is currently not available.\n", b"machine ../..\n", b"\xff" * 9]
)
def test_a_device_that_does_not_say_what_it_is(answer: bytes) -> None:
    with pytest.raises(DeviceError, match="ssh://liar does not say what it is") as caught:
        probe(Answers(answer, 127))
    assert "\x1b" not in str(caught.value)


@pytest.mark.slow
def test_an_answer_without_end_is_not_read_to_the_end() -> None:
    found = probe(Answers(RPI5.encode() + b"python 3.11 64\n" * 2_000_000))
    assert found.fit is not None and found.fit.target == "rpi5"


def test_of_this_machine(tmp_path: Path) -> None:
    found = probe(LocalConnection("local:", tmp_path / "a home"), pythons=[sys.executable])
    assert (found.machine, found.kernel) == (platform.machine(), f"Linux {os.uname().release}")
    assert found.cores == len(os.sched_getaffinity(0)) or found.cores == os.cpu_count()
    assert found.page_size_bytes == os.sysconf("SC_PAGE_SIZE")
    assert found.memory_total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found.disk_free_bytes is not None and found.disk_free_bytes > 0
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found.pythons == (Python(version=version, bits=64),)
    libc = os.confstr("CS_GNU_LIBC_VERSION")
    assert libc is None or f"{found.libc.kind} {found.libc.version}" == libc


@pytest.fixture
def only_busybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("no busybox: apt-get install busybox")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        (tools / name).symlink_to(busybox)
    monkeypatch.setenv("PATH", str(tools))
    return tools


def test_of_a_busybox_userland(tmp_path: Path, only_busybox: Path) -> None:
    found = probe(LocalConnection("local:", tmp_path / "home"))
    assert found.machine == platform.machine()
    assert found.architectures[0] == platform.machine() and found.userland_bits == 64
    # Without getconf, from what the kernel hands to programs; without ldd, from the library itself.
    assert found.page_size_bytes == os.sysconf("SC_PAGE_SIZE")
    libc = os.confstr("CS_GNU_LIBC_VERSION")
    assert libc is None or f"{found.libc.kind} {found.libc.version}" == libc
    assert found.memory_total_bytes and found.disk_free_bytes and found.cores
    assert found.pythons == ()


def test_of_a_shell_and_uname_alone(tmp_path: Path, only_busybox: Path) -> None:
    for tool in only_busybox.iterdir():
        if tool.name not in ("sh", "uname"):
            tool.unlink()
    found = probe(LocalConnection("local:", tmp_path / "home"))
    assert (found.machine, found.architectures) == (platform.machine(), (platform.machine(),))
    assert (found.memory_total_bytes, found.cpu_features, found.libc.kind) == (None, (), "unknown")


def test_the_script_asks_nothing_of_its_own(tmp_path: Path) -> None:
    """Nothing is written, wherever it runs."""
    home = tmp_path / "home"
    probe(LocalConnection("local:", home), pythons=())
    assert list(home.iterdir()) == []
