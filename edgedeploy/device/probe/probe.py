"""Ask a device what it is, and read its answer, of which nothing is believed without a look.

A device may be anybody's: what it says is bounded in length, held to what such a fact can be, and made printable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import structs

from edgedeploy.device.connection import Connection
from edgedeploy.device.free_space import free_bytes
from edgedeploy.device.probe import elf_header
from edgedeploy.device.probe.c_library import read_c_library
from edgedeploy.device.probe.machine_kind import read_kind
from edgedeploy.device.probe.script import SCRIPT
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.targets.arm_cores import ARM, arm_core_name
from edgedeploy.targets.fit import fit_target
from edgedeploy.values.probe import Probe, Python, System
from edgedeploy.values.throttling import Throttling, ThrottlingEvent

_ANSWER_LIMIT_BYTES = 256 << 10
_LINE_LIMIT = 8192
_TEXT_LIMIT = 160

PYTHONS = ("python3", "python", *(f"python3.{minor}" for minor in range(9, 16)))

_TIMEOUT_S = 120.0
"""An emulated board on a loaded machine starts some forty programs in that time."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_FEATURE = re.compile(r"[a-z0-9_]{1,31}", re.ASCII)
_PYTHON = re.compile(r"(?P<version>3\.[0-9]{1,2}) (?P<bits>32|64)\b", re.ASCII)
_KIB = re.compile(r"(?P<key>[A-Za-z]{1,16}):\s+(?P<kib>[0-9]{1,15}) kB", re.ASCII)
_ONLINE = re.compile(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*", re.ASCII)
_SETTING = re.compile(r"(?P<key>[A-Z_]{1,32})=(?P<quote>[\"']?)(?P<value>.*)(?P=quote)")

# Linux names one architecture in several ways.
_ARCHITECTURES = {"arm64": "aarch64", "amd64": "x86_64", "armv8l": "armv7l"}
_LOADERS = {
    "/lib/ld-linux-aarch64.so.1": "aarch64", "/lib/ld-musl-aarch64.so.1": "aarch64",
    "/lib/ld-linux-armhf.so.3": "arm", "/lib/ld-musl-armhf.so.1": "arm",
    "/lib64/ld-linux-x86-64.so.2": "x86_64", "/lib/ld-musl-x86_64.so.1": "x86_64",
}  # fmt: skip

_AT_PAGESZ = 6
"""https://github.com/torvalds/linux/blob/master/include/uapi/linux/auxvec.h"""


def probe(connection: Connection, *, pythons: Sequence[str] = PYTHONS) -> Probe:
    """Ask a device what it is, and find the target that fits it best. Nothing is changed there.

    Args:
        pythons: names under which a Python is looked for. Each that is there is started, which takes a while on a small
            board, and longer where it is a version manager's shim.

    Raises:
        DeviceError: it has no POSIX shell, or says nothing that can be read.
        UnreachableError: the connection was lost.
    """
    completed = connection.run(["sh", "-c", SCRIPT, "edgedeploy", *pythons], timeout_s=_TIMEOUT_S)
    found = read_answer(completed.stdout, connection.address)
    if not found.machine:
        raise DeviceError(
            f"{connection.address} does not say what it is",
            why=last_lines(completed.stderr, completed.stdout) or f"its shell ended with {completed.exit_status}",
            hint="install a POSIX shell and uname there: busybox has both",
        )
    chosen = fit_target(found)
    return structs.replace(found, fit=chosen[1] if chosen else None)


def read_answer(answer: bytes, address: str) -> Probe:
    """Parse the script's output. Never fails: what cannot be read is None or empty."""
    facts = _Facts(answer)
    shell = elf_header.read(facts.octets("shell"))
    machine = facts.word("machine")
    part = _part(facts)
    memory = _memory(facts)
    return Probe(
        address=address,
        machine=machine,
        kernel=_printable(" ".join(facts["kernel"][:2])),
        board=_printable(facts.first("board")),
        system=_system(facts["system"]),
        architectures=_architectures(machine, shell, facts["loader"]),
        userland_bits=shell.bits if shell else None,
        cpu=_cpu(facts, part),
        cpu_part=part,
        cpu_features=_features(facts["cpu"]),
        cores=_cores(facts),
        clock_max_mhz=_clock(facts["clock"], 0),
        clock_now_mhz=_clock(facts["clock"], 1),
        governor=", ".join(sorted({words[2] for words in map(str.split, facts["clock"]) if _is_word_at(words, 2)})),
        memory_total_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        swap_total_bytes=memory.get("SwapTotal"),
        swap_free_bytes=memory.get("SwapFree"),
        disk_free_bytes=free_bytes(facts.first("disk")),
        page_size_bytes=_page_size_bytes(facts, shell),
        libc=read_c_library(
            facts["libc"],
            facts["python"],
            has_loader=bool(facts["loader"]),
            asked=bool(facts["end"]),
        ),
        machine_kind=read_kind(facts.found),
        pythons=_pythons(facts["python"]),
        temperature_c=_temperature_c(facts["thermal"]),
        throttled=_throttled(facts.first("throttled")),
    )


class _Facts:
    """The lines of an answer, by their first word."""

    def __init__(self, answer: bytes) -> None:
        self._lines: dict[str, list[str]] = {}
        for line in answer[:_ANSWER_LIMIT_BYTES].decode(errors="replace").split("\n"):
            key, space, value = line[:_LINE_LIMIT].partition(" ")
            self._lines.setdefault(key, []).append(value.strip() if space else "")

    @property
    def found(self) -> Mapping[str, Sequence[str]]:
        return self._lines

    def __getitem__(self, key: str) -> list[str]:
        return self._lines.get(key, [])

    def first(self, key: str) -> str:
        return next(iter(self[key]), "")

    def word(self, key: str) -> str:
        value = self.first(key)
        return value if _WORD.fullmatch(value) else ""

    def octets(self, key: str) -> bytes:
        """Decode lines of two hexadecimal digits for each byte."""
        words = " ".join(self[key]).split()
        if not all(re.fullmatch("[0-9a-f]{2}", word) for word in words):
            return b""
        return bytes.fromhex("".join(words))


def _printable(text: str) -> str:
    cleaned = "".join(character for character in text if character.isprintable())
    return cleaned.strip()[:_TEXT_LIMIT]


def _integer(text: str, *, most: int) -> int | None:
    if not re.fullmatch("[0-9]{1,18}", text, re.ASCII):
        return None
    return int(text) if int(text) <= most else None


def _is_word_at(words: Sequence[str], index: int) -> bool:
    return len(words) > index and _WORD.fullmatch(words[index]) is not None


def _system(lines: Sequence[str]) -> System:
    values = {match["key"]: _printable(match["value"]) for match in map(_SETTING.fullmatch, lines) if match}
    return System(
        name=values.get("PRETTY_NAME", ""),
        id=values.get("ID", ""),
        version=values.get("VERSION_ID", ""),
        codename=values.get("VERSION_CODENAME", ""),
    )


def _architectures(machine: str, shell: elf_header.Header | None, loaders: Sequence[str]) -> tuple[str, ...]:
    """List architectures, the shell's own first; where its header cannot be read, the kernel's."""
    kernel = _ARCHITECTURES.get(machine, machine)
    # Of 32-bit Arm, the header says no more than that; what the core has, the kernel's name says.
    of_32_bits = ("armv6l",) if kernel == "armv6l" else ("armv7l", "armv6l")
    found: list[str] = []
    for each in (shell.machine if shell else "", *(_LOADERS.get(loader, "") for loader in loaders)):
        found += of_32_bits if each == "arm" else (each,) if each else ()
    if not found:
        found += of_32_bits if kernel in of_32_bits else (kernel,) if kernel else ()
    return tuple(dict.fromkeys(found))


def _part(facts: _Facts) -> int | None:
    """Read the Arm part number; None also for cores that are not all of one kind, or not designed by Arm."""
    parts, makers = (
        {_colon(line)[1] for line in facts["cpu"] if _colon(line)[0] == key} for key in ("CPU part", "CPU implementer")
    )
    if len(parts) != 1 or makers != {f"{ARM:#x}"}:
        return None
    part = parts.pop()
    return int(part, 16) if re.fullmatch("0x[0-9a-f]{1,3}", part) else None


def _colon(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()


def _cpu(facts: _Facts, part: int | None) -> str:
    if part is not None:
        return arm_core_name(part)
    return _printable(next((value for key, value in map(_colon, facts["cpu"]) if key == "model name"), ""))


def _features(lines: Sequence[str]) -> tuple[str, ...]:
    sets = [
        {word for word in value.split() if _FEATURE.fullmatch(word)}
        for key, value in map(_colon, lines)
        if key in ("Features", "flags")
    ]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _cores(facts: _Facts) -> int | None:
    online = facts.first("online")
    if _ONLINE.fullmatch(online):
        ranges = [part.partition("-") for part in online.split(",")]
        cores = sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
        if 0 < cores <= 4096:
            return cores
    return _integer(facts.first("processors"), most=4096) or None


def _clock(lines: Sequence[str], index: int) -> float | None:
    """Read the clock of the fastest core, in MHz. Linux says kHz."""
    words = [line.split(" ") for line in lines]
    khz = [_integer(each[index], most=20_000_000) for each in words if len(each) == 3]
    return max((each / 1000 for each in khz if each), default=None)


def _memory(facts: _Facts) -> dict[str, int]:
    return {match["key"]: int(match["kib"]) << 10 for match in map(_KIB.fullmatch, facts["memory"]) if match}


def _page_size_bytes(facts: _Facts, shell: elf_header.Header | None) -> int | None:
    """Read the page size that `getconf` says, else the kernel's auxiliary vector: pairs of a number and a value."""
    size = _integer(facts.first("page"), most=1 << 24)
    if size is None and shell is not None:
        octets, width = facts.octets("auxv"), shell.bits // 8
        words = [int.from_bytes(octets[at : at + width], "little") for at in range(0, len(octets) - width + 1, width)]
        size = dict(zip(words[::2], words[1::2], strict=False)).get(_AT_PAGESZ)
    return size if size is not None and size in {1 << shift for shift in range(12, 25)} else None


def _pythons(lines: Sequence[str]) -> tuple[Python, ...]:
    matches = [match for match in map(_PYTHON.match, lines) if match]
    found = [Python(version=match["version"], bits=int(match["bits"])) for match in matches]
    return tuple(dict.fromkeys(found))


def _temperature_c(lines: Sequence[str]) -> float | None:
    """Read the CPU sensor's temperature in °C, else the hottest sensor's. Linux says thousandths of a degree."""
    found: list[tuple[bool, float]] = []
    for line in lines:
        value, _, kind = line.partition(" ")
        millidegrees = _integer(value, most=200_000)
        if millidegrees:
            found.append(("cpu" in kind, millidegrees / 1000))
    return max(found)[1] if found else None


def _throttled(answer: str) -> tuple[ThrottlingEvent, ...] | None:
    match = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-f]{1,8})", answer)
    if match is None:
        return None
    return Throttling.of_bits(int(match[1], 16)).events
