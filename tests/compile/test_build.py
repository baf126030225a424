from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.bundle.build import open_bundle
from edgedeploy.compile.backends.onnxruntime import settings_for
from edgedeploy.compile.build import compile_model
from edgedeploy.compile.candidates import candidates
from edgedeploy.compile.protocol import BuildResult
from edgedeploy.compile.python_runner import run_script
from edgedeploy.foundation.errors import (
    DatasetError,
    EdgedeployError,
    HostError,
    IntegrityError,
    InvalidFileError,
    UnsupportedError,
)
from edgedeploy.model.identity import sha256_of_model
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.recorded_name import with_name
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import Needs, Runtime, Source
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.quality import MetricFigure
from edgedeploy.verdict.contract import load_contract
from edgedeploy.workflows.contract import check_hand_over

# With one backend: most of these tests are about all that is not the runtime.
RPI4, HERE = (msgspec.structs.replace(load_target(name), backends=("onnxruntime",)) for name in ("rpi4", "x86-64"))

LINEAR = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    linear (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }
""")
WEIGHTS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
PICTURE = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    picture (float[N, 3, H, W] x) => (float[N, 3, 1, 1] y) { y = GlobalAveragePool(x) }
""")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "My Model.onnx"
    path.write_bytes(LINEAR.SerializeToString())
    return path


class SmallBackend:
    """Lays out one file, so that tests of all that is not the runtime need no wheels."""

    name = "onnxruntime"

    def unsupported_reason(self, target, format):
        return None

    def build(self, order, folder, progress):
        (folder / "model.onnx").write_bytes(order.model.read_bytes())
        (folder / "run").write_text("#!/bin/sh\n")
        (folder / "run").chmod(0o755)
        runtime = Runtime(backend=self.name, python=order.target.os.python, glibc="2.28", packages={})
        return BuildResult(runtime=runtime, model_file="model.onnx", runner="run", needs=Needs())


@pytest.fixture
def small(monkeypatch):
    import edgedeploy.compile.backends.onnxruntime as module

    monkeypatch.setattr(module, "BACKEND", SmallBackend())


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- all but the runtime


def test_the_manifest_says_what_it_is(small, model, tmp_path):
    bundle = compile_model(model, RPI4, tmp_path / "out", version="1.2")
    manifest = bundle.manifest
    assert (manifest.name, manifest.version, manifest.target) == ("my-model", "1.2", "rpi4")
    assert (manifest.architecture, manifest.golden_samples) == ("aarch64", 8)
    assert manifest.model == inspect_model(model, input_shapes={"x": (1, 3)})
    assert manifest.model.macs == 6
    assert (tmp_path / "out" / manifest.model_file).read_bytes() == model.read_bytes()
    assert set(manifest.tools) == {"edgedeploy", "onnx", "onnxruntime"}
    assert manifest.source is None
    assert open_bundle(tmp_path / "out") == bundle


def test_a_model_of_several_files_has_one_hash_everywhere(small, model, tmp_path):
    in_one = onnx.load(model)
    in_one.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(WEIGHTS, "w"))
    onnx.save(in_one, model, save_as_external_data=True, location="weights.data", size_threshold=0)
    known_by = sha256_of_model(model)
    assert known_by == hashlib.sha256(model.read_bytes() + (tmp_path / "weights.data").read_bytes()).hexdigest()
    contract = load_contract(write_contract(tmp_path, model, known_by))
    assert {line.key: line.outcome for line in check_hand_over(contract).lines}["model.sha256"] == "holds"
    bundle = compile_model(model, RPI4, tmp_path / "out", contract=contract)
    assert inspect_model(model).sha256 == bundle.manifest.model.sha256 == known_by
    (tmp_path / "weights.data").write_bytes(bytes(24))
    with pytest.raises(IntegrityError, match="not the model of the contract"):
        compile_model(model, RPI4, tmp_path / "other", contract=contract)


def write_contract(folder: Path, model: Path, sha256: str) -> Path:
    path = folder / "contract.toml"
    path.write_text(f"""
schema = 1
[model]
name = "linear"
version = "1"
framework = "by hand"
file = "{model.name}"
sha256 = "{sha256}"
[data]
evaluation = "data.npz"
metric = "top1"
[limits]
metric_min = 0.1
""")
    return path


def test_same_inputs_same_bytes(small, model, tmp_path):
    first, second = (compile_model(model, RPI4, tmp_path / name) for name in ("one", "two"))
    assert first.sha256 == second.sha256
    assert tree(first.path) == tree(second.path)


def test_golden_inputs_come_from_the_data_and_outputs_from_the_model(small, model, tmp_path):
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    np.savez(tmp_path / "data.npz", x=x, labels=np.zeros(10, np.int64))
    bundle = compile_model(model, RPI4, tmp_path / "out", golden=str(tmp_path / "data.npz"), golden_samples=4)
    assert bundle.manifest.golden_samples == 4
    weights = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    for number in range(4):
        with np.load(tmp_path / "out" / "golden" / f"{number:04}.npz", allow_pickle=False) as kept:
            np.testing.assert_array_equal(kept["input:x"], x[number : number + 1])
            np.testing.assert_allclose(kept["output:y"], x[number : number + 1] @ weights)
    np.savez(tmp_path / "data.npz", x=x[:2])
    few = compile_model(model, RPI4, tmp_path / "out", golden=str(tmp_path / "data.npz"))
    assert few.manifest.golden_samples == 2


def test_golden_data_that_does_not_fit_is_refused_and_nothing_is_written(small, model, tmp_path):
    np.savez(tmp_path / "data.npz", y=np.zeros((2, 3), np.float32))
    with pytest.raises(DatasetError, match="no array 'x'"):
        compile_model(model, RPI4, tmp_path / "out", golden=str(tmp_path / "data.npz"))
    np.savez(tmp_path / "data.npz", x=np.full((2, 3), np.nan, np.float32))
    with pytest.raises(DatasetError, match="answers NaN"):
        compile_model(model, RPI4, tmp_path / "out", golden=str(tmp_path / "data.npz"))
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_golden_inputs_are_not_made_up_for_unknown_shapes(small, tmp_path):
    (tmp_path / "m.onnx").write_bytes(PICTURE.SerializeToString())
    with pytest.raises(UnsupportedError, match="dynamic shape") as caught:
        compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out")
    assert "--golden" in caught.value.hint


def test_what_random_inputs_can_be(small, tmp_path):
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float16[N, 3] a, uint8[N, 3] b, int64[N, 3] c, bool[N, 3] d)
        => (float16[N, 3] e, uint8[N, 3] f, int64[N, 3] g, bool[N, 3] h)
        { e = Identity(a) f = Identity(b) g = Identity(c) h = Identity(d) }"""
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out")
    with (
        np.load(tmp_path / "out" / "golden" / "0000.npz") as first,
        np.load(tmp_path / "out/golden/0001.npz") as second,
    ):
        assert {first[key].dtype.name for key in first} == {"float16", "uint8", "int64", "bool"}
        assert (first["input:a"] != second["input:a"]).any()
        assert set(first["input:c"].ravel().tolist()) <= {0, 1}


def evidence(result_sha256: str | None, facts: object) -> bytes:
    figure = MetricFigure(name="top1", value=0.97, samples=600)
    return msgspec.json.encode(
        Evidence(
            recipe="int8",
            target="rpi4",
            source=msgspec.structs.replace(facts, sha256="a" * 64, size_bytes=1000),
            result=msgspec.structs.replace(facts, sha256=result_sha256) if result_sha256 else None,
            passes=(),
            calibration_samples=100,
            evaluation_sha256="b" * 64,
            source_metric=figure,
            max_drop=0.01,
            executions=(),
            accepted=True,
            reasons=(),
            tools={},
        )
    )


def test_evidence_about_this_very_file_becomes_the_source(small, model, tmp_path):
    facts = inspect_model(model)
    beside = model.with_name("My Model.onnx.evidence.json")
    beside.write_bytes(evidence(facts.sha256, facts))
    assert compile_model(model, RPI4, tmp_path / "out").manifest.source == Source(
        sha256="a" * 64,
        size_bytes=1000,
        parameters=6,
        recipe="int8",
        evaluation_sha256="b" * 64,
        metric=MetricFigure(name="top1", value=0.97, samples=600),
    )
    for other in ("c" * 64, None):
        beside.write_bytes(evidence(other, facts))
        assert compile_model(model, RPI4, tmp_path / "out").manifest.source is None
    beside.write_bytes(b"{}")
    with pytest.raises(InvalidFileError, match="cannot be read as evidence"):
        compile_model(model, RPI4, tmp_path / "out")


def test_the_name_is_what_optimize_recorded_unless_somebody_says_otherwise(small, model, tmp_path):
    def named(**setting: str) -> str:
        return compile_model(model, RPI4, tmp_path / "out", **setting).manifest.name

    assert named() == "my-model"
    facts = inspect_model(model)
    about = msgspec.json.decode(evidence(facts.sha256, facts), type=Evidence)
    path = model.with_name("My Model.onnx.evidence.json")
    # Where recording it would have made the file larger, only the evidence has it.
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(about, model_name="faces")))
    assert named() == "faces"
    path.unlink()
    model.write_bytes(with_name(model.read_bytes(), "onnx", "text-direction"))
    assert named() == "text-direction"
    assert named(name="other") == "other"


def test_external_data_is_taken_into_the_one_model_file(small, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(LINEAR)
    values = onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, "w"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="run", size_threshold=0)
    assert (tmp_path / "run").exists()
    bundle = compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out")
    assert sorted(path for path in tree(bundle.path) if not path.startswith("golden")) == [
        "manifest.json",
        "model.onnx",
        "run",
        "sbom.cdx.json",
    ]
    kept = onnx.load(bundle.path / "model.onnx")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kept.graph.initializer[0]), values)
    # It is known by the files that came, as evidence and contract know it.
    assert bundle.manifest.model.sha256 == sha256_of_model(tmp_path / "m.onnx")


def test_a_sparse_weight_is_dense_in_the_bundle(small, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(LINEAR)
    values = onnx.numpy_helper.to_array(model.graph.initializer[0])
    del model.graph.initializer[:]
    indices = np.arange(values.size, dtype=np.int64)
    sparse = onnx.helper.make_sparse_tensor(
        onnx.numpy_helper.from_array(values.ravel(), "w"), onnx.numpy_helper.from_array(indices, "i"), values.shape
    )
    model.graph.sparse_initializer.append(sparse)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    bundle = compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out")
    kept = onnx.load(bundle.path / "model.onnx")
    assert not kept.graph.sparse_initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kept.graph.initializer[0]), values)
    # It is known by the file that came, as evidence and contract know it.
    assert bundle.manifest.model.sha256 == hashlib.sha256((tmp_path / "m.onnx").read_bytes()).hexdigest()


def test_a_model_over_2_gb_is_refused_before_it_is_loaded(small, model, tmp_path, monkeypatch):
    from edgedeploy.compile import request, staging

    monkeypatch.setattr(request, "PROTOBUF_LIMIT_BYTES", model.stat().st_size - 1)
    monkeypatch.setattr(staging, "open_session", None)
    with pytest.raises(UnsupportedError, match="ends at 2 GB"):
        compile_model(model, RPI4, tmp_path / "out")


def test_a_model_that_does_not_load_is_not_bundled(small, tmp_path):
    broken = onnx.ModelProto()
    broken.CopyFrom(LINEAR)
    broken.graph.node[0].op_type = "MatMux"
    (tmp_path / "m.onnx").write_bytes(broken.SerializeToString())
    with pytest.raises(UnsupportedError, match="does not load"):
        compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting", [{"name": "Größe"}, {"name": ""}, {"name": "../x"}, {"version": "1/2"}])
def test_names_that_cannot_be_paths_are_refused(small, model, tmp_path, setting):
    with pytest.raises(UnsupportedError, match="cannot be a"):
        compile_model(model, RPI4, tmp_path / "out", **setting)


def test_backends_are_chosen_from_what_the_target_lists(small, model, tmp_path):
    assert [candidate.name for candidate in candidates("auto", RPI4, "onnx")] == ["onnxruntime"]
    without = msgspec.structs.replace(RPI4, backends=())
    for name, target, words in (
        ("auto", without, "has no backend for this .onnx model"),
        ("onnxruntime", without, "cannot serve target"),
        ("abacus", RPI4, "there is no backend 'abacus'"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            compile_model(model, target, tmp_path / "out", backend=name)


class UnableBackend(SmallBackend):
    """Finds out while it builds that it cannot do it, and leaves something behind."""

    name = "tflite"
    error: type[EdgedeployError] = UnsupportedError

    def build(self, order, folder, progress):
        (folder / "half").mkdir()
        (folder / "half" / "model.tflite").write_bytes(b"half")
        raise UnableBackend.error("the operator Abs cannot be converted")


@pytest.mark.parametrize("error", [UnsupportedError, HostError])
def test_auto_goes_on_where_a_backend_finds_that_it_cannot(small, model, tmp_path, monkeypatch, error):
    import edgedeploy.compile.backends.tflite as module

    monkeypatch.setattr(module, "BACKEND", UnableBackend())
    monkeypatch.setattr(UnableBackend, "error", error)
    target = msgspec.structs.replace(RPI4, backends=("tflite", "onnxruntime"))
    bundle = compile_model(model, target, tmp_path / "out")
    assert bundle.manifest.runtime.backend == "onnxruntime"
    assert "tflite, onnxruntime, as they measured on rpi4" in bundle.manifest.runtime.chosen
    assert "tflite: the operator Abs cannot be converted" in bundle.manifest.runtime.chosen
    assert not (bundle.path / "half").exists()
    with pytest.raises(error, match="the operator Abs cannot be converted"):
        compile_model(model, target, tmp_path / "other", backend="tflite")
    monkeypatch.setattr(SmallBackend, "build", UnableBackend.build)
    words = "no backend of target" if error is UnsupportedError else "this machine cannot build"
    with pytest.raises(error, match=words):
        compile_model(model, target, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_backend_that_was_named_has_no_reason(small, model, tmp_path):
    assert compile_model(model, RPI4, tmp_path / "out", backend="onnxruntime").manifest.runtime.chosen == ""


def test_onnxruntime_refuses_an_architecture_without_wheels(model, tmp_path):
    target = msgspec.structs.replace(RPI4, architecture="armv7l")
    with pytest.raises(UnsupportedError, match="cannot serve") as caught:
        compile_model(model, target, tmp_path / "out", backend="onnxruntime")
    assert "armv7l" in caught.value.why


def test_one_file_instead_of_a_folder(small, model, tmp_path):
    folder = compile_model(model, RPI4, tmp_path / "out")
    first, second = (compile_model(model, RPI4, tmp_path / name / "out.edge") for name in ("one", "two"))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == folder.sha256
    assert open_bundle(first.path) == first
    assert [path.name for path in first.path.parent.iterdir()] == ["out.edge"]


# -- what is at the output already


def test_one_file_is_replaced_and_others_are_not(small, model, tmp_path):
    out = tmp_path / "out.edge"
    compile_model(model, RPI4, out)
    second = compile_model(model, RPI4, out, golden_samples=2)
    assert open_bundle(out) == second
    (tmp_path / "link.edge").symlink_to(out)
    (tmp_path / "notes.edge").write_text("notes")
    (tmp_path / "folder.edge").mkdir()
    for name in ("link.edge", "notes.edge", "folder.edge"):
        with pytest.raises(InvalidFileError):
            compile_model(model, RPI4, tmp_path / name)
    assert (tmp_path / "notes.edge").read_text() == "notes"
    with pytest.raises(HostError, match="cannot be written"):
        compile_model(model, RPI4, model / "out.edge")


def test_a_bundle_is_replaced_whole(small, model, tmp_path):
    first = compile_model(model, RPI4, tmp_path / "out", golden_samples=8)
    second = compile_model(model, RPI4, tmp_path / "out", golden_samples=2)
    assert first.sha256 != second.sha256
    assert open_bundle(tmp_path / "out") == second
    (tmp_path / "empty").mkdir()
    assert compile_model(model, RPI4, tmp_path / "empty", golden_samples=2).sha256 == second.sha256


def test_a_folder_of_other_things_is_never_replaced(small, model, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"")
    (tmp_path / "photos" / "manifest.json").write_bytes(b"{}")
    bundle = compile_model(model, RPI4, tmp_path / "out").path
    (bundle / "notes.txt").write_bytes(b"")
    linked = compile_model(model, RPI4, tmp_path / "linked").path
    (linked / "link").symlink_to(model)
    (tmp_path / "link").symlink_to(linked)
    for path in (tmp_path / "photos", bundle, linked, tmp_path / "link", tmp_path, model):
        before = tree(path) if path.is_dir() else {}
        with pytest.raises(InvalidFileError):
            compile_model(model, RPI4, path)
        assert path.is_file() or tree(path) == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_the_old_bundle_and_nothing_else(small, model, tmp_path, monkeypatch, failure):
    before = compile_model(model, RPI4, tmp_path / "out")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(SmallBackend, "build", fail)
    with pytest.raises(failure):
        compile_model(model, RPI4, tmp_path / "out", golden_samples=1)
    assert open_bundle(tmp_path / "out") == before
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


# -- what starts the runner

_RUNNER = """
import os, sys
print(sys.argv[1:], os.environ["PYTHONPATH"], sys.version_info[:2], sys.pycache_prefix)
print("telemetry off:", os.environ["ORT_DISABLE_TELEMETRY"])
print("a name's hash:", hash("edgedeploy"))
"""


def launch(run: Path, *argv: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHOME": "/nowhere", "PATH": path or os.environ["PATH"]}
    for name in ("ORT_DISABLE_TELEMETRY", "PYTHONHASHSEED"):
        environment.pop(name, None)
    return subprocess.run(
        ["/bin/sh", run, *argv], capture_output=True, text=True, env=environment, cwd="/", check=False
    )


def fake(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder with `run` for this machine and this Python, and a runner that says how it was started."""
    folder = tmp_path / ".edgedeploy" / "releases" / "with space"
    folder.mkdir(parents=True)
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    target = msgspec.structs.replace(
        RPI4, architecture=platform.machine(), os=msgspec.structs.replace(RPI4.os, python=python)
    )
    (folder / "run").write_text(run_script(target, {"ORT_DISABLE_TELEMETRY": "1"}))
    (folder / "runner.py").write_text(_RUNNER)
    fake(tmp_path / "bin", "python3", f'exec env -u PYTHONHOME {sys.executable} "$@"')
    return folder


@pytest.mark.slow
def test_run_finds_its_folder_through_links_and_hands_on_its_arguments(release, tmp_path):
    (tmp_path / "current").symlink_to(".edgedeploy/releases/with space")
    (tmp_path / "link").symlink_to(release / "run")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for run in (release / "run", tmp_path / "current" / "run", tmp_path / "link"):
        done = launch(run, "serve", "a b", path=path)
        version = sys.version_info[:2]
        expected = f"{['serve', 'a b']} {release}/runtime/python {tuple(version)} /dev/null"
        assert done.stdout.startswith(f"{expected}\ntelemetry off: 1\n")


@pytest.mark.slow
def test_names_hash_alike_in_each_process(release, tmp_path):
    """Else dictionaries take other ways, and a count of instructions moves by 0.03 %."""
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    hashes = {launch(release / "run", "serve", path=path).stdout.splitlines()[-1] for _ in range(3)}
    assert len(hashes) == 1 and "a name's hash:" in hashes.pop()


@pytest.mark.slow
def test_only_the_health_check_derives_bytecode(release, tmp_path, monkeypatch):
    """tests/deploy/test_bytecode.py has the rest."""
    monkeypatch.setenv("EDGEDEPLOY_BYTECODE", "derive")
    done = launch(release / "run", path=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.stdout.splitlines()[0].endswith(f" {release}/.bytecode")


def test_a_bundle_that_is_no_release_gets_no_bytecode(release, tmp_path):
    (tmp_path / "bundle").mkdir()
    for name in ("run", "runner.py"):
        shutil.copy(release / name, tmp_path / "bundle")
    done = launch(tmp_path / "bundle" / "run", path=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert f"{tmp_path}/bundle/runtime/python" in done.stdout
    assert done.stdout.splitlines()[0].endswith(" None")


def test_run_passes_over_a_python_that_does_not_fit(release, tmp_path):
    """A version manager's shim has the right name and runs nothing."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    fake(tmp_path / "bin", name, "echo 'no such version is installed' >&2; exit 127")
    done = launch(release / "run", path=f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert (done.returncode, done.stderr) == (0, "")


def test_run_says_which_python_it_needs(release, tmp_path):
    text = (release / "run").read_text()
    (release / "run").write_text(text.replace(f"{sys.version_info[0]}, {sys.version_info[1]}", "3, 2"))
    done = launch(release / "run", path=f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert done.returncode == 3
    assert f"python3 here is {sys.version_info[0]}.{sys.version_info[1]}" in done.stderr
    assert "needs a 64-bit Python" in done.stderr


def test_run_says_when_there_is_no_python(release, tmp_path):
    for tool in ("readlink", "uname"):
        fake(tmp_path / "bare", tool, f'exec {shutil.which(tool)} "$@"')
    done = launch(release / "run", path=str(tmp_path / "bare"))
    assert done.returncode == 3
    assert "python3 here is missing" in done.stderr


def test_run_says_when_the_machine_is_another(release, tmp_path):
    fake(tmp_path / "bin", "uname", "echo riscv64")
    done = launch(release / "run", path=f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert done.returncode == 3
    assert "this machine is riscv64" in done.stderr


# -- with the real runtime

_WITH_RUNTIME = """
import sys, numpy, onnxruntime
here = sys.argv[1]
session = onnxruntime.InferenceSession(f"{here}/model.onnx")
with numpy.load(f"{here}/golden/0000.npz") as golden:
    (output,) = session.run(None, {"x": golden["input:x"]})
    assert numpy.allclose(output, golden["output:y"], rtol=1e-5)
assert numpy.__file__.startswith(here) and onnxruntime.__file__.startswith(here)
print(numpy.__version__, onnxruntime.__version__)
"""


@pytest.mark.keeps_cache
@pytest.mark.skipif(platform.machine() != "x86_64" or sys.version_info[:2] != (3, 11), reason="what x86-64 declares")
def test_the_bundled_runtime_runs_the_model_with_nothing_else(model, tmp_path):
    bundle = compile_model(model, HERE, tmp_path / "out")
    (tmp_path / "check.py").write_text(_WITH_RUNTIME)
    done = subprocess.run(
        [sys.executable, "-S", "-B", tmp_path / "check.py", bundle.path],
        env={"PYTHONPATH": str(bundle.path / "runtime/python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    packages = bundle.manifest.runtime.packages
    assert done.stdout.split() == [packages["numpy"], packages["onnxruntime"]]
    open_bundle(bundle.path)  # running it has left nothing behind


@pytest.mark.keeps_cache
def test_a_bundle_for_arm_holds_arm_code_its_licences_and_no_tools(model, tmp_path):
    first, second = (compile_model(model, RPI4, tmp_path / name) for name in ("one", "two"))
    assert first.sha256 == second.sha256
    files = {entry.path for entry in open_bundle(first.path).manifest.files}
    libraries = [path for path in files if ".so" in path]
    assert libraries
    for path in libraries:
        with (first.path / path).open("rb") as file:
            assert file.read(20)[18:] == b"\xb7\0"  # ELF: e_machine is EM_AARCH64
    assert {"runtime/python/onnxruntime/LICENSE", "runtime/python/onnxruntime/ThirdPartyNotices.txt"} <= files
    assert any(path.startswith("runtime/python/numpy-") and "LICENSE" in path for path in files)
    assert not [path for path in files if "/tests/" in path or path.endswith((".pyc", ".h", ".a", "RECORD"))]
    assert first.size_bytes < 80_000_000
    runtime = json.loads((first.path / "manifest.json").read_bytes())["runtime"]
    assert runtime["glibc"] == "2.28"
    assert (runtime["settings"]["threads"], runtime["settings"]["arena"]) == (RPI4.cpu.cores, True)


def test_boards_with_little_memory_go_without_the_block_for_all_tensors():
    little, much = (msgspec.structs.replace(RPI4, memory_mb=sizes) for sizes in ((512, 4096), (4096,)))
    assert settings_for(little)["memory_pattern"] is False
    assert settings_for(much)["memory_pattern"] is True


@pytest.mark.keeps_cache
def test_the_graph_is_optimized_only_by_the_onnxruntime_that_the_board_gets(model, tmp_path, monkeypatch):
    import edgedeploy.compile.backends.onnxruntime as module

    monkeypatch.setattr(module, "locked_version", lambda: "1.0.0")
    bundle = compile_model(model, RPI4, tmp_path / "out", backend="onnxruntime")
    assert "the board gets 1.0.0" in bundle.manifest.runtime.settings["graph"]
    assert (bundle.path / "model.onnx").read_bytes() == model.read_bytes()


@pytest.mark.keeps_cache
def test_the_manifest_keeps_the_model_that_was_compiled(tmp_path, monkeypatch):
    """Whatever the graph has become: facts and SHA-256 are those of the file that was handed over."""
    from edgedeploy.compile import optimized_graph as module

    monkeypatch.setattr(module, "GROWTH_LIMIT", 1000.0)
    text = """<ir_version: 8, opset_import: ["" : 17]>
        linear (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}, float[2] b = {1, 2}>
        { z = MatMul(x, w) y = Add(z, b) }"""
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    bundle = compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out", backend="onnxruntime")
    assert bundle.manifest.runtime.settings["graph"] == "optimized"
    assert bundle.manifest.model == inspect_model(tmp_path / "m.onnx", {"x": (1, 3)})
    assert bundle.manifest.model.operators == {"MatMul": 1, "Add": 1}
    assert inspect_model(bundle.path / "model.onnx").operators == {"Gemm": 1}
