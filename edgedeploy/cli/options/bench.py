"""Options of commands that time: how, beside for how long."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click

_MOST_CPUS = 1024
"""As many as the kernel's plain CPU sets hold (sched_setaffinity(2))."""

_OPTIONS = (
    click.option(
        "--warmup",
        "warmup_runs",
        type=click.IntRange(0, 1_000_000),
        metavar="N",
        help="Inferences before those that count, at least. Default: the profile's 5, 20 or 50.",
    ),
    click.option(
        "--warmup-seconds",
        "warmup_s",
        type=click.FloatRange(0, 3600),
        metavar="S",
        help="Seconds of them, at least. Default: the profile's 0.5, 2 or 10.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        metavar="N",
        help="Fresh processes, each of which loads the model and runs the whole profile.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, _MOST_CPUS),
        metavar="N",
        help="Threads of an inference. Default: as the model was compiled for.",
    ),
    click.option(
        "--affinity",
        callback=lambda _ctx, _param, value: parse_cpus(value),
        metavar="CPUS",
        help="Run on these CPUs of the device only: 0,2 or 4-7. Default: any.",
    ),
    click.option(
        "--every-ms",
        type=click.FloatRange(0, 3_600_000, min_open=True),
        metavar="T",
        help="Begin an inference each T milliseconds, as an application will. Default: one after the other.",
    ),
    click.option(
        "--cooldown",
        "cooldown_s",
        type=click.FloatRange(0, 3600),
        metavar="S",
        help="Between processes, and runs with --against, wait at most so long until it is as cool as it was at first.",
    ),
)


def bench_settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, as the parameter `settings`: a `BenchSettings`."""

    @functools.wraps(command)
    def with_settings(
        *args: Any,
        warmup_runs: int | None,
        warmup_s: float | None,
        processes: int,
        threads: int | None,
        affinity: tuple[int, ...],
        every_ms: float | None,
        cooldown_s: float | None,
        **more: Any,
    ) -> Any:
        from edgedeploy.values.measurement import BenchSettings

        settings = BenchSettings(
            warmup_runs=warmup_runs,
            warmup_s=warmup_s,
            processes=processes,
            threads=threads,
            affinity=affinity,
            every_ms=every_ms,
            cooldown_s=cooldown_s,
        )
        return command(*args, settings=settings, **more)

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return with_settings


def parse_cpus(words: str | None) -> tuple[int, ...]:
    """`"0,4-6"` → `(0, 4, 5, 6)`, as taskset(1) takes them."""
    if words is None:
        return ()
    found: set[int] = set()
    for word in words.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", word.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < _MOST_CPUS:
            raise click.BadParameter(f"{word!r}: expected numbers of CPUs, as in 0,2 or 4-7")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
