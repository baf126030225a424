"""Tell GitHub what a gate found: `gate.json` as outputs of the step, `summary.md` as the summary of the job.

Usage: python scripts/github/outputs.py FOLDER        (called by action.yml)

Writes to the files $GITHUB_OUTPUT and $GITHUB_STEP_SUMMARY.

Outputs: `holds` (true or false), `instructions` and `size` (a number; of several models or targets a JSON object with
one for each `MODEL TARGET`), and `artifact`, the name of the folder as an artifact.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SUMMARY_LIMIT_BYTES = 1 << 20
"""https://docs.github.com/actions/reference/workflow-commands-for-github-actions#adding-a-job-summary"""
_LONGEST_NAME = 120


def outputs(gate: Mapping[str, Any]) -> dict[str, str]:
    """Return the outputs by name, each on one line."""
    cells: Sequence[Mapping[str, Any]] = gate["cells"]
    return {
        "holds": str(gate["holds"]).lower(),
        "instructions": _figures(cells, "instructions"),
        "size": _figures(cells, "model_size_bytes"),
        "artifact": _artifact(cells),
    }


def _figures(cells: Sequence[Mapping[str, Any]], key: str) -> str:
    if len(cells) == 1:
        value = cells[0].get(key)
        return "" if value is None else f"{value:.12g}"
    found = {f"{cell['name'] or cell['contract']} {cell['target']}": cell.get(key) for cell in cells}
    return json.dumps({name: value for name, value in found.items() if value is not None})


def _artifact(cells: Sequence[Mapping[str, Any]]) -> str:
    """One for each model and target, so that jobs of a matrix do not write the same."""
    models = dict.fromkeys(cell["name"] or Path(cell["contract"]).parent.name for cell in cells)
    targets = dict.fromkeys(cell["target"] for cell in cells)
    name = "-".join(("edgedeploy", *(part for part in (*models, *targets) if part)))
    # What no artifact's name may have: https://github.com/actions/upload-artifact#inputs
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST_NAME]


def main() -> None:
    folder = Path(sys.argv[1])
    written = folder / "gate.json"
    # Without it the gate did not begin: the step before has said why.
    found = (
        outputs(json.loads(written.read_bytes())) if written.exists() else {"holds": "false", "artifact": "edgedeploy"}
    )
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in found.items())
    summary = folder / "summary.md"
    if summary.exists():
        text = summary.read_bytes()[: SUMMARY_LIMIT_BYTES - 1].decode(errors="ignore")
        with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
