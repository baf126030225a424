"""The tables of scripts/bench faults, in the terminal and as docs/bench_faults.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.fault_subjects import STATES

Fact = dict[str, str | float]
"""What came of one fault."""


def document(facts: list[Fact], kinds: Mapping[str, str], places: Sequence[str]) -> str:
    """docs/bench_faults.md.

    Args:
        facts: one for each fault that was tried.
        kinds: how each kind of fault is made, in words.
        places: where faults are tried.
    """
    rows = []
    for kind, how in kinds.items():
        for place in places:
            mine = [one for one in facts if (one["fault"], one["place"]) == (kind, place)]
            if mine:
                current = Counter(one.get("current") for one in mine)
                lost = sum(bool(one["lost"]) for one in mine)
                counts = f"{len(mine)} | {current['old']} | {current['new']} | **{lost}**"
                rows.append(f"| {kind} | {how} | {place} | {counts} |")
    struck = [one for one in facts if one["fault"] in ("power cut", "client killed", "connection cut")]
    stopped = [one for one in facts if one["fault"] in ("disk full", "inodes exhausted", "read-only")]
    lost = sum(bool(one["lost"]) for one in facts)
    lines = [
        "# Faults during a push",
        "",
        "Made by:",
        "",
        "    scripts/bench faults",
        "",
        "The faults are injected on an emulated Pi 4 with only busybox and sshd and a persistent ext4 disk, and",
        "on an OpenSSH server of this machine. After each fault, all of this must be true: one release is",
        "current, every byte of it matches its manifest, it answers, there is nothing damaged beside it, and the",
        "next push makes its release current without manual help. Otherwise the release counts as lost. A refused",
        "push also counts as lost if it leaves anything in the store, and a push if it never ends.",
        "",
        "| fault | how | where | tried | then current: old | new | lost |",
        "|---|---|---|---:|---:|---:|---:|",
        *rows,
        f"| **all** | | | {len(facts)} | | | **{lost}** |",
        "",
        "The state of the push when it was cut or killed, and when a full or read-only disk ended it:",
        "",
        *_table_of_states(struck, stopped),
        "",
        "A power cut is a SIGKILL of QEMU. Data that the board's kernel had not written is lost, as in a real",
        "power cut. Data that a real card had accepted but not yet stored would be lost too; this is not tested.",
    ]
    return "\n".join(lines) + "\n"


def _table_of_states(*groups: list[Fact]) -> list[str]:
    counts = [Counter(str(one.get("step", "?")) for one in group) for group in groups]
    names = [*STATES, *sorted({name for count in counts for name in count} - {*STATES})]
    rows = [f"| {name} | " + " | ".join(str(count[name]) for count in counts) + " |" for name in names]
    return ["| state | cut or killed | disk |", "|---|---:|---:|", *rows]
