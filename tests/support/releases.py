"""Fixtures: releases that run on this machine, with the runner in Python or in C."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from edgedeploy.compile.dependencies.zig import compile_c, dynamic_machine
from edgedeploy.compile.python_runner import write_runner
from edgedeploy.datasets.npz import npz_bytes
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.progress import SILENT
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.model.inspect import inspect_model
from edgedeploy.runner import c_sources
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import FileEntry, Manifest, Release, Runtime, Source

CLASSIFIER = """
    <ir_version: 8, opset_import: ["" : 17]>
    classifier (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}> { y = MatMul(x, w) }
"""

MakeRelease = Callable[..., Release]

# Where it is before any test has another home.
_CACHE = cache_folder().parent


@pytest.fixture(scope="session")
def c_runner_sys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `c_runner` takes for /sys: empty, unless a test puts something there."""
    return tmp_path_factory.mktemp("sys")


@pytest.fixture(scope="session")
def c_runner(tmp_path_factory: pytest.TempPathFactory, c_runner_sys: Path) -> Path:
    """The runner in C, on onnxruntime, for this machine."""
    program = tmp_path_factory.mktemp("runner") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(_CACHE))
        compile_c(
            c_sources("engine_ort.c"),
            program,
            dynamic_machine(load_target("x86-64")),
            libraries=("m", "dl"),
            flags=("-Wall", "-Wextra", "-Wconversion", "-Werror", f'-DSYS="{c_runner_sys}"'),
            progress=SILENT,
        )
    return program


def run_in_c(release: Release, c_runner: Path) -> Release:
    """The release with `c_runner` in the place of its runner in Python."""
    folder = Path(release.path)
    (folder / "run").unlink()
    shutil.copyfile(c_runner, folder / "run")
    (folder / "run").chmod(0o755)
    (folder / "runtime").mkdir()
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "runtime/libonnxruntime.so.1").symlink_to(library)
    return release


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "device"


@pytest.fixture
def local(home: Path):
    with LocalConnection("local:", home) as connection:
        yield connection


@pytest.fixture
def make_release(home: Path) -> MakeRelease:
    def make(
        model: str = CLASSIFIER,
        feeds: list[dict[str, np.ndarray]] | None = None,
        *,
        kept: Callable[[list[np.ndarray]], list[np.ndarray]] = lambda outputs: outputs,
        source: Source | None = None,
        target: str = "x86-64",
        run: str = "",
        identity: str = "1-abc",
    ) -> Release:
        """
        Args:
            feeds: golden inputs; by default four of `CLASSIFIER`.
            kept: what is kept as golden outputs, given those of this machine.
            run: shell lines before the runner is started.
        """
        folder = home / "releases" / "model" / identity
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "golden").mkdir(parents=True)
        path = folder / "model.onnx"
        path.write_bytes(onnx.parser.parse_model(model).SerializeToString())
        session = HostSession(path, exact=True)
        if feeds is None:
            feeds = [{"x": np.array([[index, 1, -1]], np.float32)} for index in range(4)]
        for index, feed in enumerate(feeds):
            arrays = {f"input:{name}": array for name, array in feed.items()}
            outputs = zip(session.output_names, kept(session.run(feed)), strict=True)
            arrays |= {f"output:{name}": array for name, array in outputs}
            (folder / "golden" / f"{index:04}.npz").write_bytes(npz_bytes(arrays))
        write_runner(folder, "onnxruntime")
        (folder / "run").write_text(f'#!/bin/sh\n{run}\nexec "{sys.executable}" -s -B "{folder}/runner.py" "$@"\n')
        (folder / "run").chmod(0o755)
        manifest = Manifest(
            schema=1,
            name="model",
            version="1",
            target=target,
            architecture="x86_64",
            model_file="model.onnx",
            model=inspect_model(path),
            runtime=Runtime(backend="onnxruntime", python="3.11", glibc="2.36", packages={}),
            runner="run",
            golden_samples=len(feeds),
            source=source,
            tools={},
            files=tuple(_entry(folder, file) for file in sorted(folder.rglob("*")) if file.is_file()),
        )
        (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        return Release(
            device="local:", name="model", id=identity, path=str(folder), current=True, parent=None, manifest=manifest
        )

    return make


@pytest.fixture
def run_check() -> Callable[[Release], tuple[int, dict]]:
    """`run check` in the release's folder: exit status and what it printed."""

    def check(release: Release) -> tuple[int, dict]:
        completed = subprocess.run([f"{release.path}/run", "check"], capture_output=True, check=False)
        return completed.returncode, msgspec.json.decode(completed.stdout)

    return check


def _entry(folder: Path, file: Path) -> FileEntry:
    content = file.read_bytes()
    return FileEntry(
        path=file.relative_to(folder).as_posix(),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        executable=file.name == "run",
    )
