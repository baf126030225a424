"""The commands in groups, in the order in which a model meets them; and the examples at the end of a `--help`."""

from __future__ import annotations

GROUPS: dict[str, dict[str, str]] = {
    # Written here so that --help imports none of the modules of the commands.
    "Model": {
        "inspect": "Show a model's shapes, parameters, MACs, bytes and operators.",
        "init": "Write a contract for a model and a folder of data.",
        "data": "Show what a model will see of a dataset.",
        "contract": "Write, show or check a contract.",
        "recipes": "List the recipes, or show one in full.",
        "optimize": "Make a model smaller and faster, without making it worse.",
    },
    "Bundle": {
        "targets": "List the targets, or show one in full.",
        "compile": "Build a model into a bundle for a target.",
        "bundle": "Show, verify, pack or sign a bundle.",
    },
    "Device": {
        "board": "Start, stop, list and log in to emulated boards.",
        "probe": "Identify a device and the target that fits it.",
        "push": "Send a bundle to a device and make it the current release.",
        "releases": "List the releases on a device.",
        "rollback": "Return to the previous release.",
        "status": "Show what runs on a device, since when, and its health.",
        "logs": "Show the log of releases that a device keeps.",
        "uninstall": "Remove a model, or everything, from a device.",
        "smoke": "Smoke test: PASS or FAIL for a device, and what to do next.",
    },
    "Measurement": {
        "bench": "Measure the speed of the current release on a device.",
        "profile": "Show the time per operator of the current release.",
        "test": "Measure accuracy on a device with labeled data.",
        "check": "Check measurements against a contract.",
        "compare": "Compare the measurements of two releases.",
    },
    "All steps, and CI": {
        "demo": "Run all steps with a model and data that edgedeploy brings.",
        "ship": "Optimize, compile, push, bench, test, check and report.",
        "gate": "Check contracts and baseline on emulated boards, for CI.",
        "baseline": "Save a release's figures; check later ones against them.",
        "trend": "Show a baseline's figures over its commits, and what moved each.",
        "schema": "Print the JSON Schema of a file that is read or printed.",
        "doctor": "Show what this machine lacks, and the command to install it.",
    },
}
"""By heading: the name of each command, which is that of its module, and one line for --help."""

SUMMARIES: dict[str, str] = {name: line for group in GROUPS.values() for name, line in group.items()}
"""The line of each command."""


def examples(*lines: str) -> str:
    r"""Return the end of a command's --help, as `epilog` of click: the lines as they stand, under a heading.

    A line is at most 76 columns wide, so that it fits a terminal with its indentation; a longer command goes on after
    a backslash, in a line of its own.
    """
    # \b keeps click from joining the lines to a paragraph.
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
