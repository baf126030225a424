"""What uv, pip, zig and onnx2tf were seen to write when they failed."""

from __future__ import annotations

import pytest

from edgedeploy.compile.dependencies.tool_errors import InstallFailure, compiler_errors, install_failure, last_line


@pytest.mark.parametrize(
    ("stderr", "failure"),
    [
        ("error: Failed to fetch: `https://…/numpy/`\n  Caused by: dns error", InstallFailure.NETWORK),
        ("Using CPython 3.11\n  × No solution found: network was disabled, no usable wheels", InstallFailure.NETWORK),
        ("WARNING: Retrying … Temporary failure in name resolution", InstallFailure.NETWORK),
        (
            "  × No solution found\n  ╰─▶ Because tiny==1.0 has no wheels with a matching platform",
            InstallFailure.NO_WHEEL,
        ),
        ("ERROR: No matching distribution found for tiny==1.0", InstallFailure.NO_WHEEL),
        ("  ╰─▶ Hash mismatch for `tiny==1.0`", InstallFailure.HASH),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", InstallFailure.HASH),
        ("error: No space left on device", InstallFailure.OTHER),
        ("", InstallFailure.OTHER),
    ],
)
def test_why_packages_are_not_installed(stderr: str, failure: InstallFailure) -> None:
    assert install_failure(stderr)[0] is failure


def test_words_are_passed_on_in_one_short_line() -> None:
    _, words = install_failure("Using Python 3.11 environment\n  × No solution\n  because " + "x" * 1000)
    assert words.startswith("× No solution because x") and len(words) == 600


def test_of_a_compilers_output_the_errors_are_kept() -> None:
    stderr = "model.c:1: warning: unused\nmodel.c:2: error: one\n  note: here\nmodel.c:3: error: two\n"
    assert compiler_errors(stderr) == "model.c:2: error: one | model.c:3: error: two"
    assert compiler_errors("killed\nby the kernel\n") == "killed | by the kernel"
    assert compiler_errors("") == ""


def test_of_a_converters_log_the_last_line_is_kept() -> None:
    log = b"start\n 10%|#  | 1/9 [00:01, 1.0it/s]\rNotImplementedError: no such operator\n 20%|## | 2/9\n\n"
    assert last_line(log) == "NotImplementedError: no such operator"
    assert last_line(b"\xff\n") == "\ufffd" and last_line(b"") == ""
