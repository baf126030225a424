from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.releases import run_in_c

from edgedeploy.runner.python import device
from edgedeploy.runner.python.loop import Loop

pytestmark = pytest.mark.slow

SOURCES = sorted(Path(device.__file__).parent.glob("*.py"))

DETECTOR = """
    <ir_version: 8, opset_import: ["" : 17]>
    detector (float[N] x) => (int64[1, K] places) { places = NonZero(x) }
"""
TWO = """
    <ir_version: 8, opset_import: ["" : 17]>
    two (float[N, 3] x) => (float[N, 3] large, float[N, 3] small)
    <float thousand = {1000.0}> { large = Mul(x, thousand)  small = Identity(x) }
"""


@pytest.fixture(params=["python", "c"])
def make_release(request, make_release, c_runner):
    """Releases with the runner in Python, and with the one in C: what holds for the one holds for the other."""

    def make(*arguments, **settings):
        release = make_release(*arguments, **settings)
        return run_in_c(release, c_runner) if request.param == "c" else release

    make.in_python = request.param == "python"
    return make


# -- the file


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_they_are_python_3_9_and_need_numpy_and_their_runtime_only(source):
    tree = ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {
        "__init__": set(),
        "start": set(),
        "channel": {"numpy"},
        "device": set(),
        "health": {"numpy"},
        "loop": {"numpy"},
        "release": {"numpy"},
        "runner": {"numpy"},
        "engine_onnxruntime": {"numpy", "onnxruntime"},
        "engine_tflite": {"numpy", "ai_edge_litert", "tflite_runtime"},
    }[source.stem]


def test_other_words_are_explained(make_release):
    completed = subprocess.run([f"{make_release().path}/run", "dance"], capture_output=True, check=False)
    assert completed.returncode == 2
    assert b"run check" in completed.stderr


# -- run bench


def run_bench(release, *words):
    done = subprocess.run([f"{release.path}/run", "bench", *words], capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("seconds", "p90"), [("0.3", True), ("0.000001", False)])
def test_bench_alone_says_what_it_saw_in_one_line(make_release, seconds, p90):
    status, said = run_bench(make_release(), "--seconds", seconds)
    assert status == 0 and said.count(b"\n") == 1
    found = json.loads(said)
    assert found["ok"] is True and found["problem"] is None
    assert (found["n"] >= 64) is p90 and (found["p90_ms"] is not None) is p90
    assert 0 < found["min_ms"] <= found["p50_ms"] <= (found["p90_ms"] or found["max_ms"]) <= found["max_ms"]
    assert found["load_ms"] > 0 and found["first_ms"] > 0 and found["peak_rss_bytes"] > 10_000_000


def test_bench_alone_says_why_it_cannot(make_release):
    broken = make_release()
    (Path(broken.path) / "model.onnx").write_bytes(b"no model")
    for release in (broken, make_release(feeds=[])):
        status, said = run_bench(release, "--seconds", "0.1")
        found = json.loads(said)
        assert status == 1 and found["ok"] is False and found["problem"]


@pytest.mark.parametrize("words", [[], ["--seconds"], ["--seconds", "x"], ["--seconds", "-1"], ["--seconds", "nan"],
                                   ["--seconds", "inf"], ["--seconds", "1", "2"], ["--minutes", "1"]])  # fmt: skip
def test_bench_alone_with_other_words_is_explained(make_release, words):
    assert run_bench(make_release(), *words) == (2, b"")


# -- run check


def test_a_sound_release_is_healthy(make_release, run_check):
    status, said = run_check(make_release())
    assert status == 0
    assert said["healthy"] and said["problem"] is None
    assert said["cosine"] == 1.0
    assert said["load_ms"] > 0 and said["peak_rss_bytes"] > 10_000_000


def test_a_small_difference_is_healthy_and_another_answer_is_not(make_release, run_check, rng):
    def with_noise(outputs):
        return [y + rng.uniform(-0.5, 0.5, y.shape).astype(y.dtype) for y in outputs]

    assert run_check(make_release(kept=with_noise))[0] == 0
    status, said = run_check(make_release(kept=lambda outputs: [y[:, ::-1] for y in outputs]))
    assert status == 1
    assert "output y is not the golden one" in said["problem"]


def test_each_output_counts_by_itself(make_release, run_check):
    """A broken output is not hidden behind one with values a thousand times as large."""
    feeds = [{"x": np.array([[1, 2, -3]], np.float32)}]
    status, said = run_check(make_release(TWO, feeds, kept=lambda outputs: [outputs[0], -outputs[1]]))
    assert status == 1
    assert "output small" in said["problem"]


@pytest.mark.parametrize(
    ("kept", "problem"),
    [
        (lambda outputs: [y.astype(np.float64) for y in outputs], "type"),
        (lambda outputs: [np.concatenate([y, y], axis=1) for y in outputs], "shape"),
        (lambda outputs: [y[0] for y in outputs], "shape"),
    ],
)
def test_types_and_shapes_are_compared(make_release, run_check, kept, problem):
    status, said = run_check(make_release(kept=kept))
    assert status == 1
    assert problem in said["problem"]


def test_outputs_that_are_not_finite_are_unhealthy(make_release, run_check):
    feeds = [{"x": np.array([[np.nan, 1, 1]], np.float32)}]
    status, said = run_check(make_release(feeds=feeds, kept=lambda outputs: [np.zeros_like(y) for y in outputs]))
    assert status == 1
    assert "not finite" in said["problem"]


def test_a_dimension_that_depends_on_values_may_differ(make_release, run_check):
    feeds = [{"x": np.array([1, 0, 2, 3], np.float32)}]
    release = make_release(DETECTOR, feeds, kept=lambda outputs: [outputs[0][:, :2]])
    assert run_check(release)[0] == 0


def test_whole_numbers_are_compared_by_how_many_are_equal(make_release, run_check):
    feeds = [{"x": np.array([1, 0, 2, 3], np.float32)}]
    one_is_far_off = make_release(DETECTOR, feeds, kept=lambda outputs: [np.array([[0, 2, -100]])])
    assert run_check(one_is_far_off)[0] == 0
    all_are = make_release(DETECTOR, feeds, kept=lambda outputs: [np.array([[7, -5, -100]])])
    assert run_check(all_are)[0] == 1


def test_a_model_that_does_not_load_is_a_problem_not_a_traceback(make_release, run_check):
    release = make_release()
    Path(release.path, "model.onnx").write_bytes(b"nonsense")
    status, said = run_check(release)
    assert status == 1
    assert "model.onnx" in said["problem"]


# -- run serve


def converse(release, content: bytes) -> tuple[int, list[dict], bytes]:
    completed = subprocess.run([f"{release.path}/run", "serve"], input=content, capture_output=True, check=False)
    lines = [line for line in completed.stdout.split(b"\n") if line.startswith(b"{")]
    return completed.returncode, [json.loads(line) for line in lines], completed.stderr


def test_it_ends_with_its_input(make_release):
    assert converse(make_release(), b'{"do": "hello"}\n')[0] == 0


def test_a_request_that_it_cannot_do_does_not_end_the_conversation(make_release):
    requests = [{"do": "infer"}, {"do": "dance"}, {"do": "golden", "index": 99}, {"do": "bench"}, {"do": "quit"}]
    status, answers, _ = converse(
        make_release(), b"".join(json.dumps(request).encode() + b"\n" for request in requests)
    )
    assert status == 0
    assert [answer["is"] for answer in answers] == ["error"] * 4 + ["quit"]
    assert "load the model first" in answers[0]["what"]
    assert "dance" in answers[1]["what"]


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"do": "infer", "arrays": 1}\n',
        b'{"do": "infer", "arrays": [{"name": "x"}]}\n',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "object", "shape": [1]}]}\n',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "float32", "shape": [-1]}]}\n',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "no such", "shape": [1]}]}\n',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "str", "shape": [1]}]}\n',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "str", "shape": [2], "text_bytes": 4}]}\n\0\0\0\0',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "str", "shape": [-1], "text_bytes": 4}]}\n\0\0\0\0',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "str", "shape": [1], "text_bytes": 5}]}\n\2\0\0\0a',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "str", "shape": [1], "text_bytes": -5}]}\n\2\0\0\0a',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "str", "shape": [1], "text_bytes": 1099511627776}]}\n',
        b'{"do": "infer", "arrays": [{"name": "x", "dtype": "uint8", "shape": [1048576, 1048576]}]}\n',
    ],
)
def test_what_is_not_a_message_ends_the_conversation(make_release, line):
    status, answers, errors = converse(make_release(), line + b'{"do": "quit"}\n')
    assert status == 1
    assert [answer["is"] for answer in answers] == ["error"]
    assert b"Traceback" not in errors


def test_a_request_that_ends_early_is_the_end(make_release):
    line = b'{"do": "infer", "arrays": [{"name": "x", "dtype": "float32", "shape": [1, 3]}]}\n1234'
    assert converse(make_release(), line)[:2] == (1, [])


def test_what_libraries_print_does_not_reach_the_protocol(make_release):
    """Also not what comes from below Python, through the file descriptor."""
    if not make_release.in_python:
        pytest.skip("the library is put in the place of a Python module")
    release = make_release()
    library = Path(release.path, "library")
    library.mkdir()
    (library / "onnxruntime.py").write_text(
        "import os, sys\nprint('stray')\nos.write(1, b'stray')\nassert not sys.stdin.read()\n"
    )
    run = Path(release.path, "run")
    run.write_text(run.read_text().replace("exec", f'PYTHONPATH="{library}" exec'))
    _, answers, errors = converse(release, b'{"do": "load"}\n{"do": "quit"}\n')
    assert [answer["is"] for answer in answers] == ["error", "quit"]
    assert errors.count(b"stray") == 2


def test_the_memory_is_its_own(make_release):
    """getrusage's figure is inherited through exec: here from a parent of half a gigabyte."""
    release = make_release()
    program = (
        "import subprocess, sys; held = bytearray(500 << 20); "
        'subprocess.run(sys.argv[1:], input=b\'{"do": "memory"}\\n\', check=True)'
    )
    completed = subprocess.run([sys.executable, "-c", program, f"{release.path}/run", "serve"], capture_output=True, check=True)  # fmt: skip  # noqa: E501
    assert json.loads(completed.stdout)["peak_rss_bytes"] < 100 << 20


# -- the loop


class SlowRelease:
    """Each inference takes a quarter of a second on a clock of its own."""

    def __init__(self):
        self.manifest = {"golden_samples": 3}
        self.outputs = ["y"]
        self.session = self
        self.now_s = 100.0
        self.feeds = []

    def golden(self, index):
        return {"x": index}, []

    def run(self, outputs, feed):
        self.feeds.append(feed["x"])
        self.now_s += 0.25


class Listener:
    def __init__(self):
        self.heard = []

    def send(self, message):
        self.heard.append(message)


@pytest.fixture
def loop(monkeypatch):
    release = SlowRelease()
    monkeypatch.setattr(time, "monotonic", lambda: release.now_s)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: round(release.now_s * 1e9))
    return Loop(release, Listener(), {})


@pytest.mark.parametrize(
    ("count", "seconds", "max_count", "max_s", "samples"),
    [
        (8, 0.0, 100, 60.0, 8),
        (1, 2.0, 100, 60.0, 8),
        (0, 0.0, 100, 60.0, 0),
        (100, 60.0, 5, 60.0, 5),
        (100, 60.0, 1000, 1.5, 6),
        (100, 60.0, 1000, 0.0, 1),
    ],
)
def test_it_runs_until_both_minima_or_one_maximum(loop, count, seconds, max_count, max_s, samples):
    assert list(loop.until("steady", count, seconds, max_count, max_s)) == [250_000_000] * samples


def test_golden_inputs_are_taken_in_turn(loop):
    loop.timed_ns()
    loop.until("steady", 6, 0, 100, 60)
    assert loop.release.feeds == [0, 1, 2, 0, 1, 2, 0]


def test_it_tells_every_second_that_it_is_alive(loop):
    """A slow model is not a dead device."""
    loop.until("steady", 10, 0, 100, 60)
    assert loop.channel.heard == [
        {"is": "progress", "phase": "steady", "samples": 4, "elapsed_s": 1.0},
        {"is": "progress", "phase": "steady", "samples": 8, "elapsed_s": 2.0},
    ]


# -- what the device says of itself

PI_4 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

processor\t: 1
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Hardware\t: BCM2835
Revision\t: c03114
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""


def described(monkeypatch, text):
    monkeypatch.setattr(device, "read", {"/proc/cpuinfo": text}.get)
    return device.cpu()


def test_cores_are_named(monkeypatch):
    assert described(monkeypatch, PI_4) == ("Arm Cortex-A72 r0p3", ["fp", "asimd", "evtstrm", "crc32", "cpuid"])


def test_cores_of_several_kinds_are_counted(monkeypatch):
    little, big = (f"CPU implementer: 0x41\nCPU variant: 0x2\nCPU part: {part}\nCPU revision: 0\n\n" for part in ("0xd05", "0xd0b"))  # fmt: skip  # noqa: E501
    assert described(monkeypatch, little * 4 + big * 4)[0] == "4 x Arm Cortex-A55 r2p0 + 4 x Arm Cortex-A76 r2p0"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CPU implementer: 0x41\nCPU part: 0xfff\n", "Arm core 0xfff r?p?"),
        ("CPU implementer: 0x61\nCPU part: 0x022\n", "implementer 0x61 part 0x022"),
        ("CPU part: what\n", "part what"),
        ("model name: Intel(R) N100\nflags: avx2\n", "Intel(R) N100"),
    ],
)
def test_other_cores_keep_their_numbers(monkeypatch, text, name):
    assert described(monkeypatch, text)[0] == name


def test_a_device_without_proc_is_described_all_the_same(monkeypatch):
    monkeypatch.setattr(device, "read", lambda path: None)
    monkeypatch.setattr(device, "SYS", "/nowhere")
    said = device.conditions({})
    assert said["memory_total_bytes"] is None and said["temperature_c"] is None and said["governor"] is None
    assert said["cpu"] and said["os"] and said["cores"] >= 1
