"""The runner in C against messages and files that nobody should send: under the compiler's sanitizers, which end it at
the first byte read or written out of place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedeploy.runner import c_sources

pytestmark = pytest.mark.slow

_BROKEN = 99
_ENVIRONMENT = {
    **os.environ,
    # What is still held when it ends is no fault: the process ends with it.
    "ASAN_OPTIONS": f"exitcode={_BROKEN}:detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": f"halt_on_error=1:exitcode={_BROKEN}",
}
_LOAD = b'{"do": "load"}\n'


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no gcc or clang, whose sanitizers watch")
    folder = tmp_path_factory.mktemp("release")
    sources = [*c_sources("none"), Path(__file__).with_name("engine_linear.c")]
    built = subprocess.run(
        [
            *(compiler, "-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            *("-I", sources[0].parent, *sources, "-lm", "-o", folder / "run"),
        ],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (folder / "golden").mkdir()
    x, w = np.array([[1, 1, -1]], np.float32), np.array([[1, -2], [3, 4], [-5, 6]], np.float32)
    np.savez(folder / "golden/0000.npz", **{"input:x": x, "output:y": x @ w})
    (folder / "manifest.json").write_text(json.dumps({"golden_samples": 1, "runtime": {"settings": {"threads": 1}}}))
    return folder


def run(release: Path, word: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [release / "run", word], input=content, capture_output=True, env=_ENVIRONMENT, timeout=60, check=False
    )
    assert done.returncode in (0, 1), done.stderr.decode(errors="replace")[-2000:]
    assert b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr, done.stderr
    return done


def test_the_engine_of_the_tests_is_healthy(release):
    assert json.loads(run(release, "check").stdout)["healthy"]


def test_its_profile_is_the_engines_trace(release):
    head, _, rest = run(release, "serve", b'{"do": "profile", "runs": 3}\n').stdout.partition(b"\n")
    (listed,) = json.loads(head)["arrays"]
    assert (listed["name"], listed["dtype"], listed["shape"]) == ("trace", "uint8", [2]) and rest[:2] == b"[]"


_many = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_word = st.sampled_from(["hello", "load", "infer", "bench", "golden", "profile", "memory", "x", ""])
_header = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "0:x", "1:x", "model", "é", "9999999999:x"]) | st.text(max_size=4),
        "dtype": st.sampled_from(["float32", "uint8", "float64", "bool", "object", "str"]) | st.text(max_size=4),
        "shape": st.lists(st.sampled_from([0, 1, 3, -1, 2**31, 2**62, 1e300, 0.5]), max_size=10) | _json,
        "text_bytes": st.sampled_from([0, 1, 4, 7, 12, -1, 2**31, 1e300, "4"]),
    },
)
_number = st.sampled_from([0, 1, 3, -1, 1e9, 2**70, "1", None, 0.5])
_request = st.fixed_dictionaries(
    {"do": _word | _json},
    optional={
        "arrays": st.lists(_header, max_size=3) | _json,
        "index": _number,
        "runs": _number,
        "threads": _number,
        "warmup": _number,
        "warmup_s": st.sampled_from([0, -1, "x"]),
        "min_samples": st.sampled_from([0, 3, -1, None]),
        "min_s": st.sampled_from([0, -1, None]),
        "max_samples": st.sampled_from([0, 3, -1]),
        "max_s": st.sampled_from([0, 0.01, -1]),
    },
)


@_many
@given(st.lists(st.tuples(_request, st.binary(max_size=40)), min_size=1, max_size=3), st.booleans())
def test_no_request_breaks_it(release, requests, loaded):
    content = b"".join(json.dumps(request).encode() + b"\n" + data for request, data in requests)
    run(release, "serve", (_LOAD if loaded else b"") + content)


@_many
@given(st.binary(max_size=200))
def test_no_bytes_break_it(release, content):
    run(release, "serve", content)


@_many
@given(st.data(), st.sampled_from(["golden/0000.npz", "manifest.json"]))
def test_no_file_of_the_release_breaks_it(release, data, name):
    path = release / name
    sound = path.read_bytes()
    changed = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    try:
        path.write_bytes(bytes(changed[:cut]))
        said = json.loads(run(release, "check").stdout)
        assert said["healthy"] or said["problem"]
        run(release, "serve", _LOAD + b'{"do": "golden", "index": 0}\n{"do": "quit"}\n')
    finally:
        path.write_bytes(sound)


_lengths = st.lists(st.sampled_from([0, 1, 2, 5, 2**31, 2**32 - 1]), min_size=1, max_size=4)


@_many
@given(_lengths, st.integers(0, 4), st.binary(max_size=12), st.integers(-4, 4))
def test_text_whose_lengths_lie_breaks_nothing(release, lengths, extent, content, more):
    data = np.array(lengths, "<u4").tobytes() + content
    header = {"name": "x", "dtype": "str", "shape": [1, extent], "text_bytes": max(0, len(data) + more)}
    request = json.dumps({"do": "infer", "arrays": [header]}).encode() + b"\n" + data
    answers = run(release, "serve", _LOAD + request).stdout.splitlines()[1:]
    assert all(json.loads(answer)["is"] == "error" for answer in answers)


def test_text_for_an_input_of_numbers_is_refused_in_words(release):
    header = {"name": "x", "dtype": "str", "shape": [1, 1], "text_bytes": 6}
    request = json.dumps({"do": "infer", "arrays": [header]}).encode() + b"\n" + b"\2\0\0\0hi"
    answer = json.loads(run(release, "serve", _LOAD + request).stdout.splitlines()[1])
    assert "the input x is str (1, 1), the model takes float32" in answer["what"]


@_many
@given(
    st.binary(max_size=48), st.sampled_from([0, 1, 2, 3, 9, 2**40]), st.sampled_from(["(1, 3)", "(3,)", "(0,)", "()"])
)
def test_no_golden_text_breaks_it(release, content, width, shape):
    path = release / "golden/0000.npz"
    before = path.read_bytes()
    header = f"{{'descr': '<U{width}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
    try:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("input:x.npy", member)
        assert not json.loads(run(release, "check").stdout)["healthy"]
    finally:
        path.write_bytes(before)
