"""`bench`, `test` and `check` as a user types them, on this machine as the device."""

from __future__ import annotations

import json
import os
import re

import msgspec
import numpy as np
import onnx
import onnx.parser
import pytest
from msgspec import structs
from support.host_backend import HostBackend

from edgedeploy import api
from edgedeploy.bundle.build import list_files
from edgedeploy.cli.options.bench import parse_cpus
from edgedeploy.measure.durations import PROFILES
from edgedeploy.model.inspect import inspect_model

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Where files may be named without their folder; benchmarks take no longer than they must."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PROFILES, "smoke", structs.replace(PROFILES["smoke"], min_s=0.0, warmup_s=0.0))


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A model on `local:`, its labelled data and its contract."""
    import edgedeploy.compile.backends.onnxruntime as backend
    from edgedeploy import api

    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    labels = (x @ np.array([[1, -2], [3, 4], [-5, 6]])).argmax(axis=1)
    np.savez(tmp_path / "evaluation.npz", x=x, labels=labels)
    np.savez(tmp_path / "wrong.npz", z=x)
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        model (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}> { y = MatMul(x, w) }
    """)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    facts = inspect_model(tmp_path / "model.onnx")
    (tmp_path / "contract.toml").write_text(f"""
schema = 1
[model]
name = "model"
version = "1"
framework = "by hand"
file = "model.onnx"
sha256 = "{facts.sha256}"
[data]
evaluation = "evaluation.npz"
[limits]
metric_min = 0.9
[limits.target.x86-64]
latency_p90_max_ms = 1000
""")
    monkeypatch.setattr(backend, "BACKEND", HostBackend())
    bundle = api.compile(tmp_path / "model.onnx", api.load_target("x86-64"), tmp_path / "bundle")
    with api.connect("local:") as connection:
        api.push(bundle, connection)
    return tmp_path


def test_from_a_release_to_a_verdict(device, edgedeploy):
    timed = edgedeploy("bench", "local:", "--profile", "smoke", "-o", "bench.json")
    assert timed.exit_code == 0, timed.stderr
    assert "latency" in timed.stdout and "p90" in timed.stdout and "not a latency" not in timed.stdout

    tested = edgedeploy("test", "local:", "--evaluation", "evaluation.npz", "-o", "test.json")
    assert tested.exit_code == 0, tested.stderr
    assert "100.00% on the device" in tested.stdout and "answers as the host does" in tested.stdout

    checked = edgedeploy("check", "bench.json", "test.json", "--contract", "contract.toml", "--strict")
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    assert "latency_p90_max_ms" in checked.stdout and "not determined" not in checked.stdout
    untimed = edgedeploy("check", "test.json", "--contract", "contract.toml")
    assert untimed.exit_code == 0
    assert "holds (1 of 3 lines not determined)" in untimed.stdout
    assert edgedeploy("check", "test.json", "--contract", "contract.toml", "--strict").exit_code == 1


def test_settings_of_a_run_and_the_verdict_on_it(device, edgedeploy):
    words = ["--warmup", "7", "--warmup-seconds", "0.01", "--processes", "2", "--threads", "1", "--every-ms", "2"]
    cpu = min(os.sched_getaffinity(0))
    timed = edgedeploy("bench", "local:", "--profile", "smoke", *words, "--affinity", f"{cpu}", "-o", "b.json")
    assert timed.exit_code == 0, timed.stderr
    assert re.search(r"^measurement +(stable|unstable|invalid)", timed.stdout, re.MULTILINE)
    assert "from its disk: import" in timed.stdout
    timing = json.loads((device / "b.json").read_text())["timing"]
    assert len(timing["processes"]) == 2 and len(timing["warmup_ms"]) >= 14
    assert timing["settings"] == {
        "warmup_runs": 7,
        "warmup_s": 0.01,
        "processes": 2,
        "threads": 1,
        "affinity": [cpu],
        "every_ms": 2.0,
        "cold_load": True,
        "cooldown_s": None,
    }


@pytest.mark.parametrize("cpus", ["", "a", "3-1", "1,,2", "0-9999", "-1", "1-", "99999"])
def test_cpus_that_are_none(device, edgedeploy, cpus):
    refused = edgedeploy("bench", "local:", f"--affinity={cpus}")
    assert refused.exit_code == 2
    assert "expected CPU numbers, such as 0,2 or 4-7" in refused.stderr


def test_cpus_as_taskset_takes_them():
    assert parse_cpus("4-6,0, 2") == (0, 2, 4, 5, 6)
    assert parse_cpus(None) == ()


def test_json_is_the_measurement_and_the_verdict(device, edgedeploy):
    tested = edgedeploy("test", "local:", "--evaluation", "evaluation.npz", "--samples", "5", "--json", "-o", "t.json")
    assert json.loads(tested.stdout) == json.loads((device / "t.json").read_text())
    assert json.loads(tested.stdout)["accuracy"]["partial"] is True
    checked = edgedeploy("check", "t.json", "--contract", "contract.toml", "--json")
    assert checked.exit_code == 1
    verdict = json.loads(checked.stdout)
    assert verdict["outcome"] == "cannot be told"
    assert [line["key"] for line in verdict["lines"]] == [
        "model.sha256",
        "limits.metric_min",
        "limits.target.x86-64.latency_p90_max_ms",
    ]


def test_a_test_that_fails_says_why_and_ends_with_1(device, edgedeploy):
    bundle = api.open_bundle(device / "bundle")
    source = bundle.path / "edgedeploy_runner" / "release.py"
    source.write_text(source.read_text().replace("run(self.outputs, feed)", "run(self.outputs, {'x': -feed['x']})"))
    # A whole release of it: one that is changed on the device is not run.
    (bundle.path / "golden" / "0000.npz").unlink()
    manifest = structs.replace(bundle.manifest, golden_samples=0, files=list_files(bundle.path))
    (bundle.path / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    with api.connect("local:") as connection:
        api.push(api.open_bundle(bundle.path), connection)
    for words in ([], ["--json"]):
        tested = edgedeploy("test", "local:", "--evaluation", "evaluation.npz", *words)
        assert tested.exit_code == 1
        assert "of the answers are the host's; 99.00% are needed" in tested.stdout + tested.stderr
        assert not words or json.loads(tested.stdout)


def test_mistakes_are_told(device, edgedeploy):
    data = ["--evaluation", "evaluation.npz"]
    for words, status, message in (
        (["test", "local:", "--evaluation", "missing.npz"], 3, "missing.npz does not exist"),
        (["test", "local:", "--evaluation", "wrong.npz"], 4, "'x'"),
        (["test", "local:", *data, "--metric", "top9"], 6, "no metric 'top9'"),
        (["test", "local:", *data, "--samples", "0"], 2, "--samples"),
        (["test", "local:"], 2, "--evaluation"),
        (["test", "local:", *data, "--name", "other"], 6, "no model 'other'"),
        (["bench", "local:", "--profile", "eternal"], 2, "eternal"),
        (["bench", "ssh://nobody@127.0.0.1:1"], 8, "refused"),
        (["check", "contract.toml", "--contract", "contract.toml"], 3, "not a measurement"),
        (["check", "--contract", "contract.toml"], 2, "MEASUREMENT"),
    ):
        done = edgedeploy(*words)
        assert done.exit_code == status, done.stderr
        assert message in done.stderr


def test_a_file_that_cannot_be_written_does_not_cost_the_figures(device, edgedeploy):
    tested = edgedeploy("test", "local:", "--evaluation", "evaluation.npz", "-o", "/proc/nowhere/t.json")
    assert tested.exit_code == 7
    assert "on the device" in tested.stdout
    assert "cannot be written" in tested.stderr


def test_counts_that_are_wanted_are_not_replaced_by_times(edgedeploy, device):
    done = edgedeploy("bench", "local:", "--count", "--profile", "smoke")
    assert done.exit_code > 2 and "does not count instructions" in done.stderr
    assert "board up NAME --target TARGET --count" in done.stderr
