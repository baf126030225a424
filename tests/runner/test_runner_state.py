"""What a device tells of itself while it is measured, by the runner in Python and the one in C alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from edgedeploy.values.bundle import Release

pytestmark = pytest.mark.slow

(ONNXRUNTIME,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
BENCH = {"do": "bench", "warmup": 1, "warmup_s": 0, "min_samples": 3, "min_s": 0, "max_samples": 99, "max_s": 60}

BOARD = {
    "class/thermal/thermal_zone0/temp": "48312",
    "class/thermal/thermal_zone1/temp": "51000",
    "class/thermal/thermal_zone2/temp": "",
    "class/thermal/cooling_device0/type": "cpufreq-cpu0",
    "class/thermal/cooling_device0/cur_state": "2",
    "class/thermal/cooling_device1/type": "pwm-fan",
    "class/thermal/cooling_device1/cur_state": "4",
    "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "600000",
    "devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1800000",
    "devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "1500000",
    "devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq": "2400000",
    "devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
    "devices/platform/soc/soc:firmware/get_throttled": "50005",
    "class/hwmon/hwmon2/power1_input": "4250000",
    "class/hwmon/hwmon2/power2_input": "1200000",
}
TOLD = {"temperature_c": 51.0, "clock_mhz": 1500.0, "throttled": 0x50005, "cooling": 2, "power_w": 4.25}


@pytest.fixture(params=["python", "c"])
def told(
    request: pytest.FixtureRequest,
    make_release: Callable[..., Release],
    c_runner: Path,
    c_runner_sys: Path,
    tmp_path: Path,
) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """What a runner says to requests, on a machine whose /sys is `files`, without the arrays."""
    system = c_runner_sys if request.param == "c" else tmp_path / "sys"

    def ask(files: dict[str, str], *requests: dict[str, Any]) -> list[dict[str, Any]]:
        for name, text in files.items():
            path = system / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        release = make_release()
        folder = Path(release.path)
        if request.param == "c":
            (folder / "run").unlink()
            shutil.copy(c_runner, folder / "run")
            (folder / "runtime").mkdir()
            (folder / "runtime/libonnxruntime.so.1").symlink_to(ONNXRUNTIME)
        else:
            source = folder / "edgedeploy_runner/device.py"
            source.write_text(source.read_text().replace('SYS = "/sys"', f"SYS = {str(system)!r}"))
        (folder / "weights").write_bytes(b"x" * (1 << 20))
        program = folder / "run"
        lines = b"".join(json.dumps(one).encode() + b"\n" for one in requests)
        out = subprocess.run([str(program), "serve"], input=lines, capture_output=True, check=True).stdout
        return [json.loads(line) for line in out.split(b"\n") if line.startswith(b'{"is"')]

    yield ask
    for name in ("class", "devices"):
        shutil.rmtree(system / name, ignore_errors=True)


def test_a_board_that_tells_all(told: Callable[..., list[dict[str, Any]]]) -> None:
    hello, _, *progress, _ = told(BOARD, {"do": "hello"}, {"do": "load"}, {**BENCH, "watch": True})
    assert {"watch", "affinity", "every_ms", "cold"} <= set(hello["can"])
    assert hello["conditions"]["temperature_c"] == 51.0
    assert hello["conditions"]["clock_max_mhz"] == 2400.0
    assert hello["conditions"]["governor"] == "ondemand"
    before, after = progress
    assert [(one["phase"], one["samples"]) for one in progress] == [("before", 0), ("after", 3)]
    for one in (before["state"], after["state"]):
        assert TOLD.items() <= one.items()
        assert one["memory_available_bytes"] > 0 and one["swap_used_bytes"] >= 0 and one["load_average_1min"] >= 0
    assert after["state"]["cpu_busy_s"] >= before["state"]["cpu_busy_s"] > 0
    assert after["state"]["cpu_own_s"] > before["state"]["cpu_own_s"] > 0


def test_a_greeting_can_do_without_the_conditions(told: Callable[..., list[dict[str, Any]]]) -> None:
    brief, whole = told(BOARD, {"do": "hello", "brief": True}, {"do": "hello"})
    assert "conditions" not in brief and whole["conditions"]["governor"] == "ondemand"
    assert (brief["can"], brief["protocol"]) == (whole["can"], 1)


def test_a_board_that_tells_nothing(told: Callable[..., list[dict[str, Any]]]) -> None:
    _, before, *_ = told({}, {"do": "load"}, {**BENCH, "watch": True})
    assert before["state"].keys() >= TOLD.keys()
    assert [before["state"][name] for name in TOLD] == [None] * len(TOLD)


def test_a_firmware_is_asked_for_what_the_kernel_does_not_tell(
    told: Callable[..., list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tools").mkdir()
    program = tmp_path / "tools" / "vcgencmd"
    asked = tmp_path / "asked"
    program.write_text(
        f"#!/bin/sh\necho $1 >>'{asked}'\n"
        'case $1 in get_throttled) echo throttled=0x50005 ;; measure_temp) echo "temp=48.3\'C" ;; *) exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    slow = {**BENCH, "watch": True, "min_s": 1.2, "max_samples": 10**6}
    _, before, *during, after, _ = told({}, {"do": "load"}, slow)
    for one in (before, after):
        assert (one["state"]["throttled"], one["state"]["temperature_c"]) == (0x50005, 48.3)
    assert during and all(one["state"]["throttled"] is one["state"]["temperature_c"] is None for one in during)
    assert sorted(asked.read_text().split()) == ["get_throttled"] * 2 + ["measure_temp"] * 2
    asked.unlink()
    told(BOARD, {"do": "load"}, {**BENCH, "watch": True})
    assert not asked.exists()


@pytest.mark.parametrize("said", ["", "throttled=", "temp=hot", "VCHI initialization failed", "throttled=0x1; exit 1"])
def test_a_firmware_that_does_not_answer(
    told: Callable[..., list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "tools").mkdir()
    program = tmp_path / "tools" / "vcgencmd"
    words, _, failing = said.partition("; ")
    program.write_text(f"#!/bin/sh\necho '{words}'\n{failing}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    _, before, *_ = told({}, {"do": "load"}, {**BENCH, "watch": True})
    assert before["state"]["throttled"] is before["state"]["temperature_c"] is None


@pytest.mark.parametrize("text", ["", "what", "1 2", "0x"])
def test_nonsense_is_nothing(told: Callable[..., list[dict[str, Any]]], text: str) -> None:
    _, before, *_ = told(dict.fromkeys(BOARD, text), {"do": "load"}, {**BENCH, "watch": True})
    assert [before["state"][name] for name in TOLD] == [None] * len(TOLD)


def test_power_of_a_jetsons_rails(told: Callable[..., list[dict[str, Any]]]) -> None:
    rails = {
        "curr1": "1500",
        "in1": "5000",
        "curr2": "900",
        "in2": "19000",
        "curr3": "",
        "in3": "19000",
        "curr4": "9000",
    }
    files = {f"class/hwmon/hwmon1/{name}_input": text for name, text in rails.items()}
    _, before, *_ = told(files, {"do": "load"}, {**BENCH, "watch": True})
    assert before["state"]["power_w"] == 17.1


def test_who_does_not_ask_is_not_told(told: Callable[..., list[dict[str, Any]]]) -> None:
    assert [one["is"] for one in told({}, {"do": "load"}, BENCH)] == ["load", "bench"]


def test_memory_now_and_at_most(told: Callable[..., list[dict[str, Any]]]) -> None:
    _, memory = told({}, {"do": "load"}, {"do": "memory"})
    assert 0 < memory["pss_bytes"] <= memory["rss_bytes"] <= memory["peak_rss_bytes"] + (4 << 20)


def test_a_cold_load_reads_its_files_from_the_disk(
    told: Callable[..., list[dict[str, Any]]], home: Path, tmp_path: Path
) -> None:
    def in_memory(path: Path) -> int:
        shown = subprocess.run(["fincore", "-brno", "res", path], capture_output=True, text=True, check=True)
        return int(shown.stdout)

    told({}, {"do": "load"})
    (weights,) = home.rglob("weights")
    assert in_memory(weights) == 1 << 20
    (loaded,) = told({}, {"do": "load", "cold": True})
    assert loaded["load_ms"] > 0
    (weights,) = home.rglob("weights")
    assert in_memory(weights) == 0


def test_pauses_between_inferences(told: Callable[..., list[dict[str, Any]]]) -> None:
    _, found = told({}, {"do": "load"}, {**BENCH, "min_samples": 4, "every_ms": 30})
    assert found["elapsed_s"] >= 0.09


def test_one_cpu_only(told: Callable[..., list[dict[str, Any]]]) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    (bound,) = told({}, {"do": "load", "affinity": allowed[:1]})
    assert bound["is"] == "load"
    (refused,) = told({}, {"do": "load", "affinity": [allowed[0], 1000]})
    assert refused["is"] == "error"
    assert f"cannot be bound to CPU {allowed[0]},1000; it may use CPU {','.join(map(str, allowed))}" in refused["what"]
