"""Tell emulators and virtual machines from hardware, by what the machine itself shows: never by its address.

An emulator's wall-clock is no latency. A virtual machine runs on a real core, which it shares with others; a container
on a real board is that board.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgedeploy.device.connection import Connection
from edgedeploy.values.probe import MachineKind

# `lines` is of the probe's script, which this is a part of.
SCRIPT = """
[ -r /proc/device-tree/compatible ] && tr '\\000' ' ' </proc/device-tree/compatible 2>/dev/null | lines kind-compatible
for file in sys_vendor product_name board_vendor; do
    [ -r "/sys/class/dmi/id/$file" ] && lines kind-firmware <"/sys/class/dmi/id/$file"
done 2>/dev/null
[ -d /proc/device-tree/fw-cfg ] || [ -d /sys/firmware/qemu_fw_cfg ] && echo qemu | lines kind-firmware
[ -r /sys/hypervisor/type ] && lines kind-hypervisor </sys/hypervisor/type 2>/dev/null
[ -r /proc/device-tree/hypervisor/compatible ] &&
    tr '\\000' ' ' </proc/device-tree/hypervisor/compatible 2>/dev/null | lines kind-hypervisor
cat /sys/devices/system/clocksource/clocksource0/available_clocksource 2>/dev/null | lines kind-clocks
grep -E -i '^(bogomips|vendor_id|cpu implementer|cpu part|model name)' /proc/cpuinfo 2>/dev/null | head -n 8 |
    lines kind-cpu
grep -E -q '^flags.* hypervisor( |$)' /proc/cpuinfo 2>/dev/null && echo yes | lines kind-flag
uname -m | lines kind-machine
uname -r | lines kind-kernel
systemd-detect-virt --vm 2>/dev/null </dev/null | lines kind-detected
systemd-detect-virt --container 2>/dev/null </dev/null | lines kind-container
[ -e /.dockerenv ] && echo docker | lines kind-container
[ -e /run/.containerenv ] && echo podman | lines kind-container
[ -r /run/systemd/container ] && lines kind-container </run/systemd/container 2>/dev/null
"""

_ALONE = f"""
LC_ALL=C
export LC_ALL
lines() {{
    while IFS= read -r line || [ -n "$line" ]; do printf '%s %s\\n' "$1" "$line"; done
}}
{SCRIPT}
exit 0
"""
_TIMEOUT_S = 60.0

# Machines that exist as QEMU's, or as evaluation boards that nobody deploys to.
_QEMU_MACHINES = re.compile(r"linux,dummy-virt|riscv-virtio|arm,versatile-pb|arm,integrator|arm,realview|arm,vexpress")
_QEMU_CPU = re.compile(r"QEMU|TCG", re.IGNORECASE)
_QEMU_TIMER_BOGOMIPS = "125.00"
"""Twice the frequency of the generic timer that QEMU emulates, 62.5 MHz (`GTIMER_SCALE` in target/arm/internals.h): its
Raspberry Pi machines show it too, where real ones have 38.40 or 108.00. Under KVM it is the host's own."""
_FIRMWARE = (
    ("amazon ec2", "Amazon EC2"),
    ("google compute engine", "Google Compute Engine"),
    ("microsoft corporation virtual machine", "Hyper-V"),
    ("vmware", "VMware"),
    ("innotek", "VirtualBox"),
    ("virtualbox", "VirtualBox"),
    ("parallels", "Parallels"),
    ("xen", "Xen"),
    ("apple virtualization", "Apple Virtualization"),
    ("kvm virtual machine", "KVM"),
    ("openstack", "OpenStack"),
    ("bhyve", "bhyve"),
)
_EMULATORS = ("qemu", "bochs")
_NONE = ("", "none", "wsl")


def machine_kind(connection: Connection) -> MachineKind:
    """Ask a device whether it is hardware, a virtual machine or an emulator. Nothing is changed there.

    Raises:
        DeviceError: it does not answer in time.
        UnreachableError: the connection was lost.
    """
    answer = connection.run(["sh", "-c", _ALONE], timeout_s=_TIMEOUT_S).stdout[: 64 << 10]
    facts: dict[str, list[str]] = {}
    for line in answer.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        facts.setdefault(key, []).append(value)
    return read_kind(facts)


def read_kind(facts: Mapping[str, Sequence[str]]) -> MachineKind:
    """Judge what the script says.

    Args:
        facts: the values of each of its words, in order.
    """

    def all_of(word: str) -> str:
        return " ".join(facts.get(f"kind-{word}", ())).lower()

    container = next((name for name in facts.get("kind-container", ()) if re.fullmatch("[a-z-]{2,20}", name)), "")
    container = "" if container in _NONE else container
    emulator = _emulator(facts, all_of("machine"))
    if emulator:
        return MachineKind(kind="emulator", name=emulator, container=container)
    virtual = _virtual(all_of("firmware"), all_of("hypervisor"), all_of("clocks"), all_of("detected"))
    if "microsoft" in all_of("kernel"):
        virtual = "WSL"
    if not virtual and (all_of("flag") or _QEMU_MACHINES.search(all_of("compatible")) or "qemu" in all_of("firmware")):
        virtual = "unknown hypervisor"
    if virtual:
        return MachineKind(kind="virtual machine", name=virtual, container=container)
    return MachineKind(kind="hardware", container=container)


def _emulator(facts: Mapping[str, Sequence[str]], machine: str) -> str:
    """Name the emulator that executes the instructions of the machine's programs; empty where a core does it."""
    cpu = dict(
        (key.strip().lower(), value.strip())
        for key, _, value in (line.partition(":") for line in reversed(facts.get("kind-cpu", ())))
    )
    is_arm = machine.startswith(("arm", "aarch64"))
    is_x86 = machine in ("x86_64", "amd64") or re.fullmatch("i[3-6]86", machine) is not None
    # An emulator of single programs (qemu-user, Rosetta): the kernel and its CPU are of another architecture.
    if cpu.get("vendor_id") == "VirtualApple":
        return "Rosetta"
    if (is_arm and "vendor_id" in cpu and "cpu implementer" not in cpu) or (is_x86 and "cpu implementer" in cpu):
        return "qemu-user"
    clocks, detected = (" ".join(facts.get(f"kind-{word}", ())).lower() for word in ("clocks", "detected"))
    firmware = " ".join(facts.get("kind-firmware", ())).lower()
    if is_arm and cpu.get("bogomips") == _QEMU_TIMER_BOGOMIPS:
        return "QEMU"
    on_qemu = _QEMU_MACHINES.search(" ".join(facts.get("kind-compatible", ()))) or "qemu" in firmware
    if is_arm:
        # The model `max` names no maker; a core under KVM names the host's. Without a timer's figure, it cannot be told
        # from KVM, and what may be no latency is not called one.
        has_no_maker = int(cpu.get("cpu implementer", "0x1"), 16) == 0 if _is_hex(cpu.get("cpu implementer")) else False
        return "QEMU" if on_qemu and (has_no_maker or "bogomips" not in cpu) else ""
    is_kvm = "kvm-clock" in clocks or detected == "kvm" or "hyperv" in clocks
    if not is_kvm and (_QEMU_CPU.search(cpu.get("model name", "")) or detected in _EMULATORS or on_qemu):
        return "QEMU"
    return ""


def _is_hex(word: str | None) -> bool:
    return word is not None and re.fullmatch("0x[0-9a-fA-F]{1,4}", word) is not None


def _virtual(firmware: str, hypervisor: str, clocks: str, detected: str) -> str:
    """Name the virtual machine's kind; empty where nothing says that it is one."""
    for words, name in _FIRMWARE:
        if words in firmware:
            # EC2's machines without a hypervisor are called so too (their product is `….metal`).
            return "" if ".metal" in firmware else name
    if "kvm" in hypervisor or "kvm-clock" in clocks:
        return "KVM"
    if hypervisor:
        return re.sub("[^a-z0-9, -]", "", hypervisor)[:20] or "unknown hypervisor"
    if detected not in _NONE and re.fullmatch("[a-z0-9-]{2,20}", detected):
        return detected
    return ""
