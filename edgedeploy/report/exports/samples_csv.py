"""Raw samples of a measurement as CSV (RFC 4180), for a spreadsheet or a statistics package."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from edgedeploy.values.measurement import Measurement

HEAD = ("phase", "index", "value", "unit", "clock")
"""`phase`: `load`, `first`, `warmup` or `steady`; `index` counts within it from 0; `unit`: `ms` or `instructions`;
`clock`: `device`, or `emulated`, which is no latency, or `instructions`."""


def samples_csv(measurement: Measurement) -> str:
    """Every inference in the order it was run, with the digits that were measured; only the head when there is none."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    writer.writerows(_rows(measurement))
    return text.getvalue()


def _rows(measurement: Measurement) -> Iterator[tuple[str, int, float | int, str, str]]:
    timing, count = measurement.timing, measurement.count
    if timing is not None:
        for phase, duration_ms in (("load", timing.load_ms), ("first", timing.first_inference_ms)):
            if duration_ms is not None:
                yield phase, 0, duration_ms, "ms", timing.clock
        for phase, samples in (("warmup", timing.warmup_ms), ("steady", timing.samples_ms)):
            for index, value in enumerate(samples):
                yield phase, index, value, "ms", timing.clock
    if count is not None:
        if count.load is not None:
            yield "load", 0, count.load, "instructions", "instructions"
        yield "first", 0, count.first_inference, "instructions", "instructions"
        for phase, counts in (("warmup", count.warmup), ("steady", count.samples)):
            for index, number in enumerate(counts):
                yield phase, index, number, "instructions", "instructions"
