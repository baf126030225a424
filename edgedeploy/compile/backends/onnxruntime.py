"""ONNX Runtime in Python: its wheels, numpy, and a runner. The device needs Python 3 and glibc, and no network."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from edgedeploy.compile.backends.protocol import Built, Order
from edgedeploy.compile.wheels import lay_out_wheels
from edgedeploy.files import write_bytes
from edgedeploy.progress import Progress
from edgedeploy.sessions import ModelFormat
from edgedeploy.values.bundle import Needs, Runtime
from edgedeploy.values.target import Target

_LOCK = Path(__file__).with_name("onnxruntime.lock")
_MODEL = "model.onnx"
_PACKAGES = "runtime/python"
_RUNNER = "runner.py"

# Beyond what is left out of every package. The C library is for C programs: the Python module holds all of it too.
_NOT_NEEDED = (
    *("onnxruntime/backend/*", "onnxruntime/datasets/*", "onnxruntime/quantization/*", "onnxruntime/tools/*"),
    *("onnxruntime/transformers/*", "onnxruntime/capi/libonnxruntime.so*"),
    *("*.dist-info/entry_points.txt", "*.dist-info/top_level.txt"),
    *("numpy/_pyinstaller/*", "numpy/distutils/*", "numpy/f2py/*", "numpy/testing/*", "numpy/typing/*"),
    *("numpy/_core/_*_tests.*", "numpy/_core/_simd.*"),
)

# `$0` may be reached through the link `current/NAME`, or be a link itself. Each Python is asked before it is taken: a
# version manager's shim can have a name that fits and run nothing.
_RUN = """\
#!/bin/sh
# Start the runner with the runtime beside it. Made by edgedeploy for {architecture}, Python {python}.
set -eu
self=$(readlink -f -- "$0")
here=${{self%/*}}
machine=$(uname -m)
case $machine in
    {machines}) ;;
    *) echo "edgedeploy: this release is for {architecture}, but this machine is $machine" >&2; exit 3 ;;
esac
found=
for python in python{python} python3 python; do
    if "$python" -I -S -c 'import sys; sys.exit(sys.version_info[:2] != ({version}) or sys.maxsize < 2**32)' 2>/dev/null
    then
        found=$python
        break
    fi
done
if [ -z "$found" ]; then
    have=$(python3 -I -S -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null) || have=missing
    echo "edgedeploy: this release needs a 64-bit Python {python}; python3 here is $have" >&2
    exit 3
fi
unset PYTHONHOME
# Nothing that happens on a device is reported to onnxruntime's maker, unless its owner says so.
export ORT_DISABLE_TELEMETRY="${{ORT_DISABLE_TELEMETRY:-1}}"
PYTHONPATH=$here/{packages} PYTHONDONTWRITEBYTECODE=1 exec "$found" -s "$here/{runner}" "$@"
"""

_MACHINES = {"aarch64": "aarch64|arm64", "x86_64": "x86_64|amd64"}
"""What `uname -m` says where the wheels of an architecture run."""


class OnnxruntimeBackend:
    """Satisfies `edgedeploy.compile.backends.protocol.Backend`."""

    name = "onnxruntime"

    def refuses(self, target: Target, format: ModelFormat) -> str | None:
        if format != "onnx":
            return f"onnxruntime runs ONNX models, and this is a .{format} one"
        if target.architecture not in _MACHINES:
            return f"onnxruntime has no wheels for {target.architecture}, only for {', '.join(_MACHINES)}"
        return None

    def build(self, order: Order, folder: Path, progress: Progress) -> Built:
        write_bytes(folder / _MODEL, order.model.read_bytes())
        target = order.target
        layout = lay_out_wheels(
            _LOCK,
            folder / _PACKAGES,
            architecture=target.architecture,
            python=target.os.python,
            glibc=target.os.glibc,
            leave_out=_NOT_NEEDED,
            progress=progress,
        )
        (folder / _RUNNER).write_bytes(_runner_source())
        run = folder / "run"
        run.write_text(_run_script(target), encoding="utf-8")
        run.chmod(0o755)
        runtime = Runtime(
            backend=self.name,
            python=target.os.python,
            glibc=layout.glibc,
            packages=dict(sorted(layout.packages.items())),
        )
        return Built(runtime=runtime, model_file=_MODEL, runner="run", needs=Needs())


BACKEND = OnnxruntimeBackend()


def _runner_source() -> bytes:
    # As data: the runner is not ours to import, it belongs to the device.
    source = importlib.resources.files("edgedeploy") / "measure" / "ondevice" / "runner.py"
    return source.read_bytes()


def _run_script(target: Target) -> str:
    return _RUN.format(
        architecture=target.architecture,
        machines=_MACHINES[target.architecture],
        python=target.os.python,
        version=target.os.python.replace(".", ", "),
        packages=_PACKAGES,
        runner=_RUNNER,
    )
