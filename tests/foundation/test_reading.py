"""What is read has an end: pipes, devices and files of the wrong size are refused before they are read."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import edgedeploy
from edgedeploy.bundle.signature import read_signature
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.debian.sources import host_sources
from edgedeploy.device.ssh.config import host_config
from edgedeploy.device.ssh.known_hosts import known_keys
from edgedeploy.foundation import reading
from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError
from edgedeploy.foundation.files import read_chunks, sha256_file
from edgedeploy.foundation.reading import ReadLimit, read_file, read_text
from edgedeploy.foundation.toml_file import load_toml
from edgedeploy.measure.files import load_measurement
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import is_tflite
from edgedeploy.model.tflite_facts import inspect_tflite
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.target import Target
from edgedeploy.verdict.baseline import load_baseline
from edgedeploy.verdict.contract import load_contract
from edgedeploy.workflows.smoke.kit import read_result

_PACKAGE = Path(edgedeploy.__file__).parent
_INPUT = TensorFacts(name="x", dtype="float32", shape=(None, 1))
_FEW = ReadLimit(what="a note", size_bytes=10, reason="it is short")

READERS: dict[str, Callable[[Path], object]] = {
    "a contract": load_contract,
    "a recipe": lambda path: load_recipe(str(path)),
    "a target": lambda path: load_toml(path, Target),
    "a measurement": load_measurement,
    "a baseline": load_baseline,
    "a model": inspect_model,
    "a dataset": lambda path: open_dataset(str(path), [_INPUT]),
    "a smoke test's result": read_result,
    "known hosts": lambda path: known_keys([path], "host"),
    "a signature": lambda path: read_signature(path.with_suffix("")),
    "chunks": lambda path: list(read_chunks(path)),
    "a digest": sha256_file,
}
UNBOUNDED = {"chunks", "a digest", "a model", "a dataset"}
"""Read in pieces; or, as models and datasets, refused for what they are."""


def never_ending(folder: Path, kind: str) -> Path:
    """What is no regular file, under a name that each reader takes."""
    path = folder / "what.toml.sig"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        path.symlink_to(kind)
    return path


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero", "/dev/random"])
@pytest.mark.parametrize("reader", READERS)
def test_what_may_never_end_is_refused_by_name(tmp_path, reader, kind):
    path = never_ending(tmp_path, kind)
    with pytest.raises(InvalidFileError) as caught:
        READERS[reader](path if reader == "a signature" else path.rename(tmp_path / "what.toml"))
    assert str(tmp_path) in caught.value.what
    assert "regular file" in caught.value.what or "not a file" in caught.value.what
    assert "pipe" in caught.value.why if kind == "pipe" else caught.value.why
    assert caught.value.hint


@pytest.mark.parametrize("reader", sorted(READERS.keys() - UNBOUNDED))
def test_three_gigabytes_are_refused_without_being_read(tmp_path, reader):
    path = tmp_path / ("what.sig" if reader == "a signature" else "what.toml")
    path.touch()
    os.truncate(path, 3_000_000_000)
    with pytest.raises(InvalidFileError, match="too large") as caught:
        READERS[reader](path)
    assert "it has 3 GB, and" in caught.value.why and "at most" in caught.value.why


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite", "data.npz"])
def test_a_model_or_dataset_of_three_gigabytes_of_nothing_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\0\0\0\0TFL3" if name == "model.tflite" else b"")
    os.truncate(path, 3_000_000_000)
    with pytest.raises(EdgedeployError):
        open_dataset(str(path), [_INPUT]) if name == "data.npz" else inspect_model(path)


def test_a_folder_is_told_from_a_file(tmp_path):
    for read in (load_contract, load_baseline, inspect_model):
        with pytest.raises(InvalidFileError, match="is a folder"):
            read(tmp_path)


def test_a_file_may_be_as_large_as_its_kind_and_no_larger(tmp_path):
    path = tmp_path / "note"
    path.write_bytes(b"0123456789")
    assert read_file(path, _FEW) == b"0123456789"
    path.write_bytes(b"0123456789a")
    with pytest.raises(reading.FileTooLargeError):
        read_file(path, _FEW)


def test_a_file_that_says_nothing_of_its_size_is_bounded_too():
    """Those of the kernel have size 0."""
    assert b"MemTotal" in read_file(Path("/proc/meminfo"), reading.SYSTEM_TEXT)
    with pytest.raises(reading.FileTooLargeError):
        read_file(Path("/proc/meminfo"), _FEW)


def test_nothing_may_be_given_as_dev_null():
    """`UserKnownHostsFile /dev/null` is what people write where no file is meant."""
    assert read_file(Path(os.devnull), _FEW) == b""
    assert known_keys([Path(os.devnull)], "host") == ()


def test_text_has_line_feeds_whatever_it_was_written_on(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"a\r\nb\rc\n")
    assert read_text(path, _FEW) == "a\nb\nc\n"


def test_every_limit_says_what_it_is_of_and_why():
    limits = [value for value in vars(reading).values() if isinstance(value, ReadLimit)]
    assert len(limits) > 10 and all(limit.reason and limit.size_bytes > 0 for limit in limits)
    assert len({limit.what for limit in limits}) == len(limits)


def test_the_users_ssh_settings_have_an_end(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Include endless\n")
    os.mkfifo(tmp_path / ".ssh/endless")
    with pytest.raises(InvalidFileError, match="configuration"):
        host_config("host")


def test_endless_lists_of_sources_are_passed_over(tmp_path):
    os.mkfifo(tmp_path / "sources.list")
    assert host_sources(tmp_path / "sources.list", tmp_path / "none") == ()


def test_a_pipe_is_no_tflite_model(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_tflite(tmp_path / "pipe")
    with pytest.raises(InvalidFileError, match="regular file"):
        inspect_tflite(tmp_path / "pipe", {})


# Calls that read a file, and do not go through `edgedeploy.foundation.reading`.
_CALLS = {
    *("open", "fdopen", "read_bytes", "read_text", "load", "load_model", "ZipFile", "load_external_data_for_model"),
    *("fromfile", "memmap", "loadtxt", "genfromtxt", "from_private_key_file", "readlines"),
}
_OURS = "a file of the package, which its installer wrote"
_SCRATCH = "a file that this process has just written, into a folder of its own"
_WRITES = "it is written, not read"
_EXCEPTIONS = {
    ("bundle/archive.py", "temporary.open"): _WRITES,
    ("cli/commands/bundle.py", ".read_text"): _OURS,
    ("cli/commands/schema.py", "schema.read_text"): _OURS,
    ("compile/dependencies/wheels.py", "place.open"): _WRITES,
    ("compile/golden.py", "np.load"): _SCRATCH,
    ("compile/native/branches.py", "onnx.load"): _SCRATCH,
    ("compile/native/prepare.py", "onnx.load"): _SCRATCH,
    ("compile/native/program.py", ".read_bytes"): _OURS,
    ("compile/onnx_to_tflite/conversion.py", "np.load"): _SCRATCH,
    ("cli/main.py", "os.open"): "/dev/null, for writing",
    ("cli/listing.py", "load"): "no file: `load_recipe` or `load_target`, which are bounded",
    ("compile/onnx_to_tflite/environment.py", "log.open"): _WRITES,
    ("compile/onnx_to_tflite/pinned.py", "onnx.load_model"): _SCRATCH,
    ("datasets/preprocessing/decode.py", "image_module.open"): "in memory; its extent is checked before it is decoded",
    ("datasets/preprocessing/decode.py", "image.load"): "no file: the pixels of what is in memory",
    ("datasets/npz.py", "zipfile.ZipFile"): "its file was opened here, and reads at most 16 MiB at once",
    ("datasets/npz.py", "self._archive.open"): "a member of it; read in pieces of 1 MiB, up to what its header says",
    ("device/emulator/borrowed.py", "mark.open"): "a lock: nothing is read from it",
    ("device/emulator/disk.py", "path.open"): _WRITES,
    ("device/emulator/image.py", "part.read_bytes"): _OURS,
    ("device/emulator/image_file.py", "temporary.open"): _WRITES,
    ("device/emulator/image_file.py", "to.open"): _WRITES,
    ("device/emulator/kvm.py", "os.open"): "a device, to know whether it can be: nothing is read from it",
    ("device/emulator/login.py", "paramiko.Ed25519Key.from_private_key_file"): "a board's key, which edgedeploy made",
    ("device/emulator/qemu.py", "os.open"): "a folder, to name it by its handle",
    ("device/emulator/qemu.py", ".open"): "a lock: nothing is read from it",
    ("datasets/readers/picture_pairs.py", "np.load"): "in memory; it was read within a limit, and nothing is unpickled",
    ("datasets/dataset.py", ".open"): "no file: a reader of data opens it, and each is looked at here by itself",
    ("device/emulator/userland.py", ".read_bytes"): _OURS,
    ("device/ssh/known_hosts.py", "path.open"): "appended to; only its last byte is read",
    ("foundation/files.py", "os.open"): "to sync what was written",
    ("foundation/scratch.py", "os.open"): "to lock what is written",
    ("foundation/reading.py", "os.open"): "the one place",
    ("foundation/reading.py", "os.fdopen"): "the one place",
    ("device/ssh/connection.py", "self._sessions.open"): "no file: a channel to a device",
    ("inference/litert.py", "os.open"): "/dev/null, for writing",
    ("measure/bench.py", "load"): "no file: a message to a runner",
    ("measure/loading.py", "load"): "no file: a message to a runner",
    (
        "model/load.py",
        "onnx.load_external_data_for_model",
    ): "files and sizes were checked: at most 2 GB, inside the folder",
    ("model/foreign_archives.py", "zipfile.ZipFile"): "its file was opened here, and its list of names is bounded",
    ("model/foreign_archives.py", "archive.open"): "a member of it; its first bytes are read, and no more",
    ("model/tflite_file.py", "zipfile.ZipFile"): "in memory; what it inflates to is bounded",
    ("optimize/search/journal.py", "self._path.open"): _WRITES,
    ("runner/__init__.py", ".read_bytes"): _OURS,
    ("runner/__init__.py", "start.read_bytes"): _OURS,
    ("runner/__init__.py", "of_engine.read_bytes"): _OURS,
    ("workflows/device_timing.py", "load_model"): "no file: a message to a runner",
    ("workflows/emulated/board_runner.py", "load_model"): "no file: a message to a runner",
    ("workflows/emulated/instruction_counts.py", "runner.load"): "no file: a message to a runner",
    ("workflows/smoke/kit.py", "place.open"): _WRITES,
}


def _name(call: ast.Call) -> str:
    """What is called, as it is written; of the result of an expression only the method: `.open`."""
    text = ast.unparse(call.func)
    return text if all(part.isidentifier() for part in text.split(".")) else f".{text.rpartition('.')[2]}"


def test_all_that_is_read_is_bounded_or_says_why_not():
    """The runner is left out: it runs on boards without edgedeploy, and reads what was verified there."""
    found = {
        (path.relative_to(_PACKAGE).as_posix(), _name(node))
        for path in _PACKAGE.rglob("*.py")
        if "runner/python" not in path.as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and _name(node).rpartition(".")[2] in _CALLS
        and _name(node) != "read_text"  # the one of `reading`
    }
    assert found - _EXCEPTIONS.keys() == set(), "read it with edgedeploy.foundation.reading"
    assert _EXCEPTIONS.keys() - found == set(), "these are gone"
