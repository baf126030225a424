"""What a search leaves beside its result: its trials as JSON and CSV, and their front as a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec

from edgedeploy.foundation.files import write_bytes
from edgedeploy.plots.pareto_plot import front_svg
from edgedeploy.values.search import Search


def journal_path(output: Path) -> Path:
    """Return where a search that is not at its end keeps what it knows."""
    return output.with_name(f"{output.name}.search.jsonl")


def write_search(output: Path, search: Search) -> None:
    """Write `OUTPUT.search.json`, `.csv` and `.svg`.

    Raises:
        HostError: they cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(search), indent=2) + b"\n"
    write_bytes(output.with_name(f"{output.name}.search.json"), text)
    write_bytes(output.with_name(f"{output.name}.search.csv"), trials_csv(search).encode())
    write_bytes(output.with_name(f"{output.name}.search.svg"), front_svg(search).encode())


def trials_csv(search: Search) -> str:
    """Return the trials as CSV, a line each; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        "name size_bytes size_ratio metric change change_low change_high top1_match sqnr_db samples speed_currency "
        "speed_ratio speed_low speed_high on_front chosen within_budget refused seconds".split()
    )
    for trial in search.trials:
        size_ratio = None if trial.size_bytes is None else trial.size_bytes / search.source_size_bytes
        change, speed = trial.change, trial.speed
        writer.writerow(
            [
                trial.name,
                trial.size_bytes,
                None if size_ratio is None else f"{size_ratio:.4f}",
                trial.metric,
                *((change.value, change.low, change.high) if change else (None, None, None)),
                trial.top1_match,
                trial.sqnr_db,
                trial.samples,
                *((speed.currency, speed.ratio, speed.low, speed.high) if speed else (None, None, None, None)),
                trial.name in search.front,
                trial.name == search.chosen,
                None if trial.refused else trial.over_budget is None,
                trial.refused,
                f"{trial.seconds:.2f}",
            ]
        )
    return text.getvalue()
