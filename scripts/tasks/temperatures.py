"""The temperature six hours ahead, from the two days before."""

from __future__ import annotations

import csv
import math
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np

from tasks.base import BenchTask
from tasks.files import save_csv, save_toml
from tasks.workshop import Workshop

_COLUMNS = ("temp", "hour_sin", "hour_cos")
_ROWS, _AHEAD = 48, 6
_LEARNED_SHARE = 0.7


def table(workshop: Workshop) -> list[tuple[str, float, float, float, float]]:
    """Hours in Seattle: date, temperature in °F, sine and cosine of the hour, the temperature six hours later."""
    path = workshop.packages / "vega_datasets" / "_data" / "seattle-temps.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["date"], float(row["temp"])) for row in csv.DictReader(file)]
    found = []
    for (date, temperature), (_, later) in zip(rows, rows[_AHEAD:], strict=False):
        angle = 2 * math.pi * datetime.strptime(date, "%Y/%m/%d %H:%M").hour / 24
        found.append((date, temperature, round(math.sin(angle), 4), round(math.cos(angle), 4), later))
    return found


def windows(rows: list[tuple[str, float, float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Of 48 rows, float32 (n, 48, 3), and what follows the last of them, float32 (n,)."""
    values = np.array([row[1:] for row in rows], dtype=np.float32)
    starts = range(len(rows) - _ROWS + 1)
    return np.stack([values[start : start + _ROWS, :3] for start in starts]), values[_ROWS - 1 :, 3].copy()


def _prepare(workshop: Workshop, folder: Path) -> None:
    rows = table(workshop)
    border = int(len(rows) * _LEARNED_SHARE)
    learned, labels = windows(rows[:border])
    model = workshop.trained("forecast", {"windows": learned, "labels": labels})
    shutil.copyfile(model, folder / "model.onnx")
    # Windows behind the border only: none of their rows was learned.
    for part, chosen, step in (("calibration", rows[:border], 60), ("evaluation", rows[border:], 4)):
        save_csv(folder / f"{part}.csv", ("date", *_COLUMNS, f"temp_in_{_AHEAD}_h"), chosen)
        source = {
            "path": f"{part}.csv",
            "format": "csv",
            "task": "series",
            "label_columns": [f"temp_in_{_AHEAD}_h"],
            "window": _ROWS,
            "step": step,
            "inputs": {"window": _COLUMNS},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="temperatures",
    kind="time series",
    about="temperature six hours ahead, convolutions over 48 hours",
    origin="trained here",
    judged_by="vega_datasets' hourly temperatures of Seattle, the last 30 % of the year",
    metric="rmse",
    max_drop="1%",
    prepare=_prepare,
)
