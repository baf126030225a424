"""A measurement is doubted for what the device told and for what the samples show, and for nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from edgedeploy.measure.validity import validity
from edgedeploy.stats.latency import drift, summary
from edgedeploy.values.measurement import BenchSettings, DeviceState, ProcessRun, Timing


def samples_around(middle_ms: float, n: int = 600) -> tuple[float, ...]:
    drawn = random.Random(1)
    return tuple(drawn.gauss(middle_ms, middle_ms * 0.005) for _ in range(n))


def process(samples_ms: tuple[float, ...], states: tuple[DeviceState, ...] = ()) -> ProcessRun:
    return ProcessRun(
        import_ms=1.0,
        load_ms=1.0,
        first_inference_ms=1.0,
        warmup=0,
        samples=len(samples_ms),
        elapsed_s=sum(samples_ms) / 1000,
        p50_ms=summary(samples_ms).p50_ms,
        drift=drift(samples_ms),
        states=states,
    )


def timing(*processes: tuple[tuple[float, ...], tuple[DeviceState, ...]], **more: object) -> Timing:
    samples_ms = tuple(sample for samples, _ in processes for sample in samples)
    plain = Timing(
        clock="device",
        profile="standard",
        load_ms=1.0,
        first_inference_ms=1.0,
        warmup_ms=(),
        samples_ms=samples_ms,
        summary=summary(samples_ms),
        processes=tuple(process(samples, states) for samples, states in processes),
    )
    return structs.replace(plain, **more)


def states(**changing: list[object]) -> tuple[DeviceState, ...]:
    """One before, ten steady ones, one after; each with its turn of the lists, which are repeated."""
    phases = ["before", *["steady"] * 10, "after"]
    return tuple(
        DeviceState(
            phase=phase,  # type: ignore[arg-type]
            samples=60 * turn,
            elapsed_s=float(turn),
            **{name: values[turn % len(values)] for name, values in changing.items()},  # type: ignore[arg-type]
        )
        for turn, phase in enumerate(phases)
    )


QUIET = states(
    throttled=[0], cooling=[0], clock_mhz=[1500.0], swap_used_bytes=[5 << 20], temperature_c=[50.0],
    cpu_busy_s=[100.0 + 4.05 * turn for turn in range(12)], cpu_own_s=[4.0 * turn for turn in range(12)],
)  # fmt: skip
EVERY = [float(turn) for turn in range(12)]
STEADY = samples_around(10.0)


def told(found: Timing) -> tuple[str, list[tuple[str, bool]]]:
    judged = validity(found)
    assert all(warning.hint for warning in judged.warnings)
    return judged.outcome, [(warning.reason, warning.invalidates) for warning in judged.warnings]


@pytest.mark.parametrize("quiet", [QUIET, states(), ()], ids=["tells all", "tells nothing", "an earlier runner"])
def test_a_quiet_board_is_stable(quiet: tuple[DeviceState, ...]) -> None:
    assert told(timing((STEADY, quiet))) == ("stable", [])


@pytest.mark.parametrize(
    ("changing", "outcome", "reasons"),
    [
        ({"throttled": [0, 0, 0, 0, 4, 4]}, "invalid", [("throttled for 3 of 10 s", True)]),
        ({"throttled": [0x50000]}, "stable", []),
        ({"throttled": [0, 1]}, "invalid", [("under-voltage for 5 of 10 s", True)]),
        (
            {"throttled": [0] * 6 + [0x50000] * 6},
            "unstable",
            [("under-voltage for less than a second", False), ("throttled for less than a second", False)],
        ),
        (
            {"throttled": [0, *[None] * 10, 0x40000]},
            "unstable",
            [("throttled for an unknown time", False)],
        ),
        ({"cooling": [0, 0, 3]}, "invalid", [("throttled for 3 of 10 s", True)]),
        ({"clock_mhz": [1500.0, 600.0]}, "unstable", [("the clock was between 600 and 1,500 MHz", False)]),
        ({"clock_mhz": [1500.0, 1450.0]}, "stable", []),
        (
            {"swap_used_bytes": [2e6 * turn for turn in EVERY]},
            "unstable",
            [("22 MB more were swapped out", False)],
        ),
        ({"swap_used_bytes": [2e6 * (12 - turn) for turn in EVERY]}, "stable", []),
        (
            {"cpu_busy_s": EVERY, "cpu_own_s": [0.3 * turn for turn in EVERY]},
            "unstable",
            [("other programs kept 0.7 of its CPUs busy", False)],
        ),
        ({"cpu_busy_s": [0.5 * turn for turn in EVERY], "cpu_own_s": EVERY}, "stable", []),
        ({"cpu_busy_s": EVERY}, "stable", []),
        ({"temperature_c": [50.0 + 3 * turn for turn in range(12)]}, "stable", []),
    ],
)
def test_what_the_device_tells(
    changing: dict[str, list[object]], outcome: str, reasons: list[tuple[str, bool]]
) -> None:
    assert told(timing((STEADY, states(**changing)))) == (outcome, reasons)


def test_one_second_in_twenty_is_not_the_median() -> None:
    long = states()[:1] + tuple(
        DeviceState(phase="steady", elapsed_s=float(turn), throttled=4 if turn == 30 else 0) for turn in range(60)
    )
    assert told(timing((STEADY, long))) == ("unstable", [("throttled for 1 of 60 s", False)])


@pytest.mark.parametrize(
    ("last_ms", "outcome", "words"),
    [
        (11.2, "invalid", "drift +12%"),
        (10.5, "unstable", "drift +5%"),
        (10.1, "stable", ""),
        (8.8, "invalid", "drift −12%"),
    ],
)
def test_drift(last_ms: float, outcome: str, words: str) -> None:
    thirds = [samples_around(middle_ms, 300) for middle_ms in (10.0, (10 + last_ms) / 2, last_ms)]
    judged = validity(timing((sum(thirds, ()), QUIET)))
    assert judged.outcome == outcome
    about_it = [warning.reason for warning in judged.warnings if "drift" in warning.reason]
    assert [reason.startswith(words) for reason in about_it] == [True] * bool(words)
    brief = [samples_around(middle_ms, 100) for middle_ms in (10.0, (10 + last_ms) / 2, last_ms)]
    assert validity(timing((sum(brief, ()), QUIET))).outcome != "invalid"


def test_a_clock_that_follows_pauses_is_as_it_will_be() -> None:
    moving = states(clock_mhz=[600.0, 1500.0])
    assert told(timing((STEADY, moving), settings=BenchSettings(every_ms=100.0))) == ("stable", [])


def test_faster_than_the_board_can_be() -> None:
    outcome, [(reason, invalidates)] = told(timing((STEADY, QUIET), least_ms=20.0))
    assert (outcome, invalidates) == ("invalid", True) and "needs at least 20 ms" in reason


def test_two_modes_and_far_samples_and_scatter() -> None:
    pairs = zip(samples_around(10.0, 300), samples_around(14.0, 300), strict=True)
    two = tuple(value for pair in pairs for value in pair)
    assert ("two modes: 10 ms, and 14 ms for 50% of the samples", False) in told(timing((two, QUIET)))[1]
    far = tuple(30.0 if index % 12 == 0 else value for index, value in enumerate(STEADY))
    assert told(timing((far, QUIET)))[1] == [("8% of the samples are outliers", False)]
    wide = tuple(10.0 + 5 * ((index * 377) % 600) / 600 for index in range(600))
    assert told(timing((wide, QUIET)))[1] == [("half of the samples are more than 10% from the median", False)]


def test_processes_that_differ() -> None:
    found = timing((STEADY, QUIET), (samples_around(10.8), QUIET))
    assert ("p50 is 10 ms in one process and 10.8 ms in another", False) in told(found)[1]
    assert told(timing((STEADY, QUIET), (samples_around(10.1), QUIET))) == ("stable", [])


def test_what_spoils_it_comes_first() -> None:
    busy = states(throttled=[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40000])
    drifting = sum((samples_around(middle_ms, 200) for middle_ms in (10.0, 10.6, 11.2)), ())
    assert [invalidates for _, invalidates in told(timing((drifting, busy)))[1]] == [True, False]


def test_what_follows_from_throttling_is_not_told_beside_it() -> None:
    found = timing((STEADY, states(throttled=[4], clock_mhz=[600.0, 1500.0])))
    assert told(found) == ("invalid", [("throttled for 10 of 10 s", True)])


numbers = st.none() | st.floats(0, 1e300)
drawn_states = st.builds(
    DeviceState,
    phase=st.sampled_from(["before", "warm-up", "steady", "after"]),
    samples=st.integers(-(2**63), 2**64),
    elapsed_s=st.floats(allow_nan=False, allow_infinity=False),
    temperature_c=numbers, clock_mhz=numbers, cpu_busy_s=numbers, cpu_own_s=numbers, power_w=numbers,
    throttled=st.none() | st.integers(-(2**63), 2**64),
    cooling=st.none() | st.integers(-(2**63), 2**64),
    swap_used_bytes=st.none() | st.integers(-(2**63), 2**64),
)  # fmt: skip


@pytest.mark.slow
@given(st.lists(drawn_states, max_size=8), st.lists(st.floats(0, 1e12), min_size=1, max_size=30))
def test_whatever_a_device_tells_is_judged(found: list[DeviceState], samples_ms: list[float]) -> None:
    assert validity(timing((tuple(samples_ms), tuple(found)))).outcome in ("stable", "unstable", "invalid")
