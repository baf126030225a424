"""A backend is one module and nothing else: one that is made up here is found by every room that asks for backends."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx.parser
import pytest
from msgspec import structs
from support.probed_boards import RPI4, probed, without

import edgedeploy.compile.backends
from edgedeploy.compile.build import compile_model
from edgedeploy.compile.candidates import candidates
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.extras import pip_line
from edgedeploy.foundation.files import config_folder
from edgedeploy.measure.profile import has_profiler
from edgedeploy.targets.backends import backend_names, backends, find_backend, runs_onnxruntime_operators
from edgedeploy.targets.fit import fit_target
from edgedeploy.targets.load import load_target
from edgedeploy.values.target import Target
from edgedeploy.workflows import doctor

MODULE = """
from edgedeploy.compile.protocol import BuildResult
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.bundle import Needs, Runtime

FACTS = BackendFacts(
    name="bead-abacus", rank=5, formats=("onnx",), architectures=("aarch64",), needs_python=True, needs_glibc=False,
    profiles=True, extra="abacus", host_packages=("wire-frames",), purpose="sums by hand",
)


class Abacus:
    def unsupported_reason(self, target, format):
        return "it has no wood" if target.memory_mb == (1,) else None

    def build(self, request, folder, progress):
        (folder / "model.beads").write_bytes(request.model.read_bytes())
        (folder / "run").write_text("#!/bin/sh\\n")
        (folder / "run").chmod(0o755)
        runtime = Runtime(backend=FACTS.name, python=None, glibc=None, packages={})
        return BuildResult(runtime=runtime, model_file="model.beads", runner="run", needs=Needs())


BACKEND = Abacus()
"""
LINEAR = """<ir_version: 8, opset_import: ["" : 17]>
    linear (float[1, 3] x) => (float[1, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }"""


@pytest.fixture(autouse=True)
def abacus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = edgedeploy.compile.backends
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up/bead_abacus.py").write_text(MODULE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "made_up")])
    importlib.invalidate_caches()
    yield
    sys.modules.pop(f"{package.__name__}.bead_abacus", None)
    if hasattr(package, "bead_abacus"):
        del package.bead_abacus


@pytest.fixture
def target() -> Target:
    """A target of the user's own that names it."""
    folder = config_folder() / "targets"
    folder.mkdir(parents=True)
    shipped = Path(__file__).parents[2] / "targets/rpi4.toml"
    lines = [
        'backends = ["bead-abacus", "native"]' if line.startswith("backends =") else line
        for line in shipped.read_text(encoding="utf-8").splitlines()
    ]
    (folder / "counting-frame.toml").write_text("\n".join(lines), encoding="utf-8")
    return load_target("counting-frame")


def test_it_is_listed() -> None:
    assert backend_names()[0] == "bead-abacus", "by its rank"
    facts = find_backend("bead-abacus")
    assert facts is not None and facts.purpose == "sums by hand"


def test_a_device_has_what_it_needs_or_not(target: Target) -> None:
    fitting = fit_target(probed(RPI4), only=target.name)
    assert fitting is not None and fitting[0].backends == ("bead-abacus", "native")
    fitting = fit_target(probed(without(RPI4, "python")), only=target.name)
    assert fitting is not None and fitting[0].backends == ("native",)
    assert "it has no 64-bit Python 3: not for bead-abacus" in fitting[1].but


def test_it_is_what_a_model_is_compiled_with(target: Target, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(LINEAR).SerializeToString())
    bundle = compile_model(tmp_path / "m.onnx", target, tmp_path / "out")
    assert (bundle.manifest.runtime.backend, bundle.manifest.model_file) == ("bead-abacus", "model.beads")
    assert "bead-abacus, native, as they measured" in bundle.manifest.runtime.chosen


def test_it_says_what_it_cannot_do(target: Target) -> None:
    for changed, format, words in (
        (target, "tflite", "it runs ONNX models, and this is a .tflite one"),
        (structs.replace(target, architecture="armv7l"), "onnx", "it has no runtime for armv7l, only for aarch64"),
        (structs.replace(target, memory_mb=(1,)), "onnx", "it has no wood"),
        (load_target("rpi4"), "onnx", "the target lists"),
    ):
        with pytest.raises(UnsupportedError, match="cannot serve") as caught:
            candidates("bead-abacus", changed, format)
        assert words in caught.value.why


def test_measuring_knows_whether_it_profiles() -> None:
    assert has_profiler("bead-abacus")
    assert not has_profiler("native") and not has_profiler("of-a-newer-edgedeploy")


@pytest.mark.slow
def test_the_doctor_names_what_it_needs_here() -> None:
    assert doctor.jobs()["abacus"] == "sums by hand"
    (finding,) = [finding for finding in doctor.examine().findings if finding.job == "abacus"]
    assert (finding.what, finding.state) == ("wire-frames", "missing")
    assert finding.hint == pip_line("edgedeploy[abacus]")


def test_models_for_it_have_no_operators_of_onnxruntime(target: Target) -> None:
    assert not runs_onnxruntime_operators(target)
    assert runs_onnxruntime_operators(load_target("rpi4"))


def test_the_backends_of_edgedeploy_lock_what_boards_get() -> None:
    folder = Path(edgedeploy.compile.backends.__path__[0])
    locks = {lock for facts in backends() for lock in facts.locks}
    assert locks == {path.name for path in folder.glob("*.lock")}
    for facts in backends():
        assert bool(facts.extra) == bool(facts.host_packages) == bool(facts.purpose)


def test_reading_facts_loads_no_runtime() -> None:
    script = (
        "import sys; from edgedeploy.targets.backends import backends; assert backends();"
        "print(sorted({'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'paramiko', 'cyclonedx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
