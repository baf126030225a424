"""What a machine that is no Linux needs: to optimize, compile and push, nothing of the kernel is asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgedeploy

_PACKAGE = Path(edgedeploy.__file__).parent
_LINUX_ONLY = {
    *("epoll", "memfd_create", "pidfd_open", "pidfd_send_signal", "sched_getaffinity", "sched_setaffinity"),
    *("inotify_init", "setns", "unshare", "O_TMPFILE", "O_PATH", "F_SETPIPE_SZ", "posix_fadvise", "SO_PEERCRED"),
}
_MAY = ("device/emulator/", "device/local.py", "runner/", "debian/")
"""Rooms that are Linux's: boards, this machine as a device, what runs on boards, and Debian's packages."""
_OTHER_SYSTEM = """
import ctypes, importlib, pkgutil, sys
import numpy, onnx, onnx_ir, onnxruntime, paramiko, rich.table, click, msgspec, jinja2, cryptography, filelock

class Library:
    def __init__(self, *_, **__): pass

ctypes.CDLL = Library
sys.platform = "darwin"
import edgedeploy
skipped = ("edgedeploy.runner", "edgedeploy.device.emulator", "edgedeploy.device.local", "edgedeploy.__main__")
for module in pkgutil.walk_packages(edgedeploy.__path__, "edgedeploy."):
    if not module.name.startswith(skipped):
        importlib.import_module(module.name)
from edgedeploy.foundation.programs import completed
assert completed(["echo", "done"]).stdout == "done\\n"
print("all")
"""


def _linux_only(path: Path) -> set[str]:
    """Name what a module calls, or reads without expecting that it may not be there, that other systems lack."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & _LINUX_ONLY
    expecting = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for each in node.body
        for part in ast.walk(each)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
            for value in node.args:
                named = str(value.value) if isinstance(value, ast.Constant) else ""
                if named.startswith(("/proc", "/sys")) and id(node) not in expecting:
                    found.add(named)
    return found


@pytest.mark.slow
def test_nothing_of_linux_alone_is_used() -> None:
    sources = [path for path in sorted(_PACKAGE.rglob("*.py"))]
    others = [path for path in sources if not path.relative_to(_PACKAGE).as_posix().startswith(_MAY)]
    assert len(others) > 300
    assert {str(path): found for path in others if (found := _linux_only(path))} == {}


@pytest.mark.slow
def test_every_module_is_imported_where_the_kernel_has_no_call_of_linux() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_SYSTEM], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("all", 0), done.stderr[-2000:]


@pytest.mark.long
def test_every_dependency_has_a_wheel_for_macos() -> None:
    root = _PACKAGE.parent
    words = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--all-extras", "--no-header"]
    words += ["--python-platform", "aarch64-apple-darwin", "--python-version", "3.12", "--only-binary", ":all:"]
    # onnxruntime's wheels are for macOS 14 and later.
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(
        [*words, str(root / "pyproject.toml")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "onnxruntime==" in done.stdout
