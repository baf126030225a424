"""Options of `bench` for warm-up, processes, threads, CPUs, duty cycle and cooldown."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click

_MOST_CPUS = 1024
"""The capacity of the kernel's plain CPU sets (sched_setaffinity(2))."""

_OPTIONS = (
    click.option(
        "--warmup",
        "warmup_runs",
        type=click.IntRange(0, 1_000_000),
        metavar="N",
        help="Minimum number of warm-up inferences. Default: 5, 20 or 50, by profile.",
    ),
    click.option(
        "--warmup-seconds",
        "warmup_s",
        type=click.FloatRange(0, 3600),
        metavar="S",
        help="Minimum warm-up time in seconds. Default: 0.5, 2 or 10, by profile.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        metavar="N",
        help="Number of fresh processes. Each loads the model and runs the whole profile.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, _MOST_CPUS),
        metavar="N",
        help="Threads per inference. Default: the number that the bundle was compiled for.",
    ),
    click.option(
        "--affinity",
        callback=lambda _ctx, _param, value: parse_cpus(value),
        metavar="CPUS",
        help="Run only on these CPUs of the device, e.g. 0,2 or 4-7. Default: any.",
    ),
    click.option(
        "--every-ms",
        type=click.FloatRange(0, 3_600_000, min_open=True),
        metavar="T",
        help="Start an inference every T milliseconds, as an application does. Default: no pause between inferences.",
    ),
    click.option(
        "--cooldown",
        "cooldown_s",
        type=click.FloatRange(0, 3600),
        metavar="S",
        help="Before each process (with --against: each run) but the first, wait up to S seconds until the device is "
        "as cool as at the start.",
    ),
)


def bench_settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command. It gets them as one `BenchSettings` in the parameter `settings`."""

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
    """Parse `"0,4-6"` to `(0, 4, 5, 6)`, in the format of taskset(1)."""
    if words is None:
        return ()
    found: set[int] = set()
    for word in words.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", word.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < _MOST_CPUS:
            raise click.BadParameter(f"{word!r}: expected CPU numbers, such as 0,2 or 4-7")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
