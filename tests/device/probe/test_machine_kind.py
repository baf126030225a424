"""Emulators and virtual machines are told from hardware by what the machine shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.device.local import LocalConnection
from edgedeploy.device.probe.machine_kind import machine_kind, read_kind
from edgedeploy.values.probe import MachineKind

ARM = {"kind-machine": ["aarch64"], "kind-kernel": ["6.6.51"]}
X86 = {"kind-machine": ["x86_64"], "kind-kernel": ["6.1.0-18-amd64"]}


def arm_cpu(bogomips: str, implementer: str = "0x41", part: str = "0xd08") -> list[str]:
    return [f"BogoMIPS\t: {bogomips}", f"CPU implementer\t: {implementer}", f"CPU part\t: {part}"]


def x86_cpu(name: str) -> list[str]:
    return ["vendor_id\t: GenuineIntel", f"model name\t: {name}", "bogomips\t: 4200.00"]


VIRT = {**ARM, "kind-compatible": ["linux,dummy-virt"], "kind-firmware": ["qemu"]}
QEMU_DMI = ["QEMU", "Standard PC (Q35 + ICH9, 2009)"]
EC2 = ["Amazon EC2", "m7g.large", "Amazon EC2"]

EMULATORS = {
    "our own boards": {**VIRT, "kind-cpu": arm_cpu("125.00")},
    "the model `max` with a timer of 1 GHz": {**VIRT, "kind-cpu": arm_cpu("2000.00", "0x00", "0x051")},
    "a 32-bit kernel on `virt`": {**VIRT, "kind-machine": ["armv7l"], "kind-cpu": arm_cpu("125.00", part="0xc07")},
    "a core without a timer on `virt`": {
        **VIRT,
        "kind-machine": ["armv7l"],
        "kind-cpu": ["CPU implementer\t: 0x41", "CPU part\t: 0xc07"],
    },
    "raspi3b": {
        **ARM,
        "kind-compatible": ["raspberrypi,3-model-b brcm,bcm2837"],
        "kind-cpu": arm_cpu("125.00", part="0xd03"),
    },
    "x86 without KVM": {
        **X86,
        "kind-firmware": QEMU_DMI,
        "kind-clocks": ["hpet acpi_pm"],
        "kind-cpu": x86_cpu("QEMU Virtual CPU version 2.5+"),
        "kind-flag": ["yes"],
    },
    "a container of another architecture": {
        **ARM,
        "kind-cpu": x86_cpu("Intel(R) Core(TM) i7-8650U"),
        "kind-container": ["docker"],
    },
    "Rosetta": {**X86, "kind-cpu": ["vendor_id\t: VirtualApple", "model name\t: VirtualApple @ 2.50GHz"]},
}

VIRTUAL = {
    "KVM": {
        **X86,
        "kind-firmware": QEMU_DMI,
        "kind-clocks": ["kvm-clock tsc acpi_pm"],
        "kind-cpu": x86_cpu("QEMU Virtual CPU version 2.5+"),
        "kind-flag": ["yes"],
    },
    "unknown hypervisor": {**VIRT, "kind-cpu": arm_cpu("108.00")},
    "Amazon EC2": {**ARM, "kind-firmware": EC2, "kind-cpu": arm_cpu("2100.00", part="0xd40")},
    "WSL": {
        **X86,
        "kind-kernel": ["5.15.153.1-microsoft-standard-WSL2"],
        "kind-cpu": x86_cpu("11th Gen Intel(R) Core(TM) i7"),
        "kind-flag": ["yes"],
    },
    "Hyper-V": {
        **X86,
        "kind-firmware": ["Microsoft Corporation", "Virtual Machine", "Microsoft Corporation"],
        "kind-cpu": x86_cpu("Intel(R) Xeon(R)"),
        "kind-flag": ["yes"],
    },
}

HARDWARE = {
    "Pi 3": {**ARM, "kind-compatible": ["raspberrypi,3-model-b brcm,bcm2837"], "kind-cpu": arm_cpu("38.40")},
    "Pi 4": {**ARM, "kind-compatible": ["raspberrypi,4-model-b brcm,bcm2711"], "kind-cpu": arm_cpu("108.00")},
    "Pi 5": {
        **ARM,
        "kind-compatible": ["raspberrypi,5-model-b brcm,bcm2712"],
        "kind-cpu": arm_cpu("108.00", part="0xd0b"),
        "kind-detected": ["none"],
    },
    "Jetson": {**ARM, "kind-compatible": ["nvidia,p3768-0000 nvidia,tegra234"], "kind-cpu": arm_cpu("62.50")},
    "Pi Zero": {"kind-machine": ["armv6l"], "kind-cpu": arm_cpu("697.95", part="0xb76")},
    "laptop": {
        **X86,
        "kind-firmware": ["LENOVO", "20KH006LUS", "LENOVO"],
        "kind-clocks": ["tsc hpet acpi_pm"],
        "kind-cpu": x86_cpu("Intel(R) Core(TM) i7-8650U"),
    },
    "EC2 without a hypervisor": {**ARM, "kind-firmware": ["Amazon EC2", "m7g.metal"], "kind-cpu": arm_cpu("2100.00")},
    "nothing said": {},
}


@pytest.mark.parametrize("name", EMULATORS)
def test_an_emulator(name: str) -> None:
    assert read_kind(EMULATORS[name]).kind == "emulator"


@pytest.mark.parametrize("name", VIRTUAL)
def test_a_virtual_machine(name: str) -> None:
    assert read_kind(VIRTUAL[name]) == MachineKind(kind="virtual machine", name=name)
    assert read_kind(VIRTUAL[name]).hypervisor == name


@pytest.mark.parametrize("name", HARDWARE)
def test_hardware(name: str) -> None:
    assert read_kind(HARDWARE[name]) == MachineKind(kind="hardware")
    assert read_kind(HARDWARE[name]).hypervisor is None


def test_a_container_is_what_it_runs_on() -> None:
    found = read_kind({**HARDWARE["Pi 4"], "kind-container": ["docker", "docker"]})
    assert found == MachineKind(kind="hardware", container="docker")
    assert found.words == "hardware, in a docker container"
    assert read_kind({**VIRTUAL["KVM"], "kind-container": ["none"]}).container == ""


WORDS = ["machine", "kernel", "cpu", "firmware", "compatible", "clocks", "detected", "container", "hypervisor", "flag"]


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from([f"kind-{word}" for word in WORDS]), st.lists(st.text(max_size=40))))
def test_whatever_is_said_is_read(facts: dict[str, list[str]]) -> None:
    found = read_kind(facts)
    assert found.words.isprintable() and len(found.words) < 100


@pytest.mark.slow
def test_this_machine_is_asked_once_and_is_no_emulator(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalConnection("local:", tmp_path / "home") as connection:
        assert connection.emulated == (machine_kind(connection).kind == "emulator")
        monkeypatch.setattr(LocalConnection, "start", None)
        assert connection.emulated in (False, True)
