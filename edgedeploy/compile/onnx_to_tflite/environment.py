"""The converter onnx2tf, in an environment of its own that is made once and kept.

It pins exact versions of two dozen packages, onnxruntime and numpy among them, and needs Python 3.12 or newer: neither
can be asked of the environment that edgedeploy runs in. Nothing of it is imported here; it is a program that is run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from edgedeploy.compile.dependencies.installers import uv_environment
from edgedeploy.compile.dependencies.tool_errors import last_line
from edgedeploy.foundation.errors import HostError, UnsupportedError
from edgedeploy.foundation.files import cache_folder, replacing_folder
from edgedeploy.foundation.home import home_folder
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.programs import end_with_parent
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import LOG, PINNED, read_file
from edgedeploy.foundation.scratch import scratch_folder

_LOCK = Path(__file__).with_name("onnx2tf.lock")
_LAYOUT_VERSION = 1
"""Part of the environment's name: raise it when it is made in another way."""

PYTHONS = ("3.12", "3.13")
"""Minor versions for which every package in the lock has a wheel."""
_ASK_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_ASK_TIMEOUT_S = 30.0
_INSTALL_TIMEOUT_S = 1800.0


def converter(progress: Progress) -> Path:
    """Return the program `onnx2tf`, in the environment that is kept for it; made on first use.

    Raises:
        HostError: there is no Python that it runs on, or its packages cannot be fetched.
        BusyError: another edgedeploy has been making it for ten minutes.
    """
    key = hashlib.sha256(f"{_LAYOUT_VERSION}\n".encode() + read_file(_LOCK, PINNED)).hexdigest()[:32]
    place = cache_folder() / "converters" / key
    program = place / "bin" / "onnx2tf"
    with exclusive(place, "preparing the converter onnx2tf", progress):
        # The interpreter that it was made from may be gone since: then it is made anew.
        if not program.is_file() or not (place / "bin" / "python").exists():
            progress.step("preparing the converter onnx2tf, once")
            _make(place)
    return program


def convert(model: Path, folder: Path, keep_layout_of: tuple[str, ...], *, limit_s: float, progress: Progress) -> Path:
    """Run the converter on an ONNX file, in a process of its own.

    Args:
        folder: where it writes; is made.
        keep_layout_of: inputs that shall not become channels-last.
        limit_s: after so many seconds it is ended.

    Returns:
        The `.tflite` file with float32 weights.

    Raises:
        UnsupportedError: it cannot convert this model, in its own words; or it takes longer.
        HostError, BusyError: as `converter`.
    """
    program = converter(progress)
    progress.step("converting to TensorFlow Lite")
    argv = [
        *(str(program), "--input_onnx_file_path", str(model), "--output_folder_path", str(folder)),
        *("--non_verbose", "--keep_shape_absolutely_input_names", *keep_layout_of),
    ]
    log = folder.with_name(f"{folder.name}.log")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("wb") as sink:
        # A session of its own, so that what it starts ends with it.
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=folder.parent,
            env={**environment, "ORT_DISABLE_TELEMETRY": "1", "NO_COLOR": "1"},
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise UnsupportedError(
                "onnx2tf does not come to an end with this model", why=f"it was ended after {limit_s:g} s"
            ) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    made = sorted(folder.glob("*_float32.tflite"))
    if status or len(made) != 1:
        raise UnsupportedError(
            "onnx2tf cannot convert this model to TensorFlow Lite",
            why=last_line(read_file(log, LOG)) or f"exit status {status}",
        )
    return made[0]


def _make(place: Path) -> None:
    import uv

    python = interpreter()
    uv_program = uv.find_uv_bin()
    with replacing_folder(place) as folder:
        # Paths in the environment's programs are those of the place where it will be.
        where = ["venv", "--quiet", "--no-project", "--relocatable", "--python", python or PYTHONS[0], str(folder)]
        _run([uv_program, *where], "onnx2tf's environment cannot be made", python is None)
        _run(
            [
                *(uv_program, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")),
                *("--requirements", str(_LOCK), "--require-hashes", "--no-deps", "--only-binary", ":all:"),
                *("--no-progress", "--color", "never"),
            ],
            "onnx2tf's packages cannot be fetched",
            False,
        )


def interpreter() -> str | None:
    """Find an interpreter of this machine that the converter runs on; None when there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or home_folder() / ".pyenv") / "versions"
    candidates = [found for version in PYTHONS if (found := shutil.which(f"python{version}"))]
    candidates += [found] if (found := shutil.which("python3")) else []
    candidates += [str(each) for version in PYTHONS for each in sorted(pyenv.glob(f"{version}.*/bin/python3"))]
    for candidate in candidates:
        try:
            # A version manager's shim has a name that fits and may run nothing, or another version.
            asked = subprocess.run(
                [candidate, "-I", "-S", "-c", _ASK_VERSION],
                capture_output=True,
                text=True,
                timeout=_ASK_TIMEOUT_S,
                check=False,
                preexec_fn=end_with_parent,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if asked.returncode == 0 and asked.stdout.strip() in PYTHONS:
            return candidate
    return None


def _run(argv: list[str], what: str, downloading: bool) -> None:
    """Run uv. `downloading`: no interpreter was found, so that uv has to bring one."""
    hint = (
        f"install Python {' or '.join(PYTHONS)} (on the PATH, or with pyenv), or give the model as a .tflite file"
        if downloading
        else "connect to the network once, or point uv at an index of yours with UV_DEFAULT_INDEX"
    )
    try:
        with scratch_folder() as elsewhere:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                cwd=elsewhere,
                env=uv_environment(),
                timeout=_INSTALL_TIMEOUT_S,
                check=False,
                preexec_fn=end_with_parent,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(what, why=str(error), hint=hint) from error
    if done.returncode:
        words = " ".join(done.stderr.split())[:500]
        why = f"it needs Python {' or '.join(PYTHONS)}, which is not here, and uv cannot bring one: {words}"
        raise HostError(what, why=why if downloading else words, hint=hint)
