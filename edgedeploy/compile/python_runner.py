"""Lays out the runner in Python with the wheels that it needs: what backends for Python runtimes have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgedeploy.compile.dependencies.wheels import More, lay_out_wheels
from edgedeploy.foundation.progress import Progress
from edgedeploy.runner import python_files
from edgedeploy.values.bundle import Runtime
from edgedeploy.values.target import Target

RUN = "run"
"""Path in the bundle of what is started on the device."""

_PACKAGES = "runtime/python"
_RUNNER = "runner.py"

NUMPY_NOT_NEEDED = (
    *("numpy/_pyinstaller/*", "numpy/distutils/*", "numpy/f2py/*", "numpy/testing/*", "numpy/typing/*"),
    *("numpy/_core/_*_tests.*", "numpy/_core/_simd.*"),
    # numpy 1.x imports `_multiarray_tests`, to describe it.
    *("numpy/core/_[orsu]*_tests.*", "numpy/core/_simd.*"),
)
"""What no runtime imports of numpy, of 1.x and 2.x, beyond what is left out of every package."""

# `$0` may be reached through the link `current/NAME`, or be a link itself. Each Python is asked before it is taken: a
# version manager's shim can have a name that fits and run nothing, and a kernel of 64 bits can have a Python of 32.
_RUN_SCRIPT = """\
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
fits='import sys; sys.exit((*sys.version_info[:2], sys.maxsize > 2**32) != ({version}, {is_64}))'
for python in python{python} python3 python; do
    if "$python" -I -S -B -c "$fits" 2>/dev/null; then
        found=$python
        break
    fi
done
if [ -z "$found" ]; then
    have=$(python3 -I -S -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null) || have=missing
    echo "edgedeploy: this release needs a {bits}-bit Python {python}; python3 here is $have" >&2
    exit 3
fi
# What the device's owner tells other programs may keep modules from being found, or bring others in.
unset PYTHONHOME PYTHONSAFEPATH PYTHONSTARTUP PYTHONINSPECT PYTHONWARNINGS PYTHONOPTIMIZE PYTHONPLATLIBDIR \
    PYTHONCASEOK PYTHONUSERBASE PYTHONDEVMODE PYTHONBREAKPOINT PYTHONPYCACHEPREFIX PYTHONDONTWRITEBYTECODE
# A bundle cannot bring bytecode for each Python. A release gets that of its device's at the health check, which
# derives it from verified sources and seals it. Any other is not run: not what was changed since, nor what lies beside
# the sources. The folder that was built stays as it was built. The seal tells damage; against somebody who forges it
# too, the check derives everything anew. MD5 executes 32 million instructions for 3.5 MB; SHA-256, 185.
is_sealed() {{
    [ -s "$here/.bytecode/MD5SUMS" ] && (
        cd "$here/.bytecode"
        find . ! -type d ! -path ./MD5SUMS -exec md5sum {{}} + | LC_ALL=C sort | cmp -s - MD5SUMS
    ) 2>/dev/null
}}
case $here in
    */.edgedeploy/releases/*)
        bytecode=$here/.bytecode
        if [ "${{EDGEDEPLOY_BYTECODE:-}}" != derive ]; then
            export PYTHONDONTWRITEBYTECODE=1
            is_sealed || bytecode=/dev/null
        fi
        export PYTHONPYCACHEPREFIX="$bytecode"
        unset EDGEDEPLOY_BYTECODE
        ;;
    *) export PYTHONDONTWRITEBYTECODE=1 ;;
esac
# Names that hash differently in each process send dictionaries other ways: counts of instructions moved by 0.03 %.
export PYTHONHASHSEED="${{PYTHONHASHSEED:-0}}"
{environment}PYTHONPATH=$here/{packages} exec "$found" -s "$here/{runner}" "$@"
"""

_MACHINES = {
    "aarch64": "aarch64|arm64",
    # A 32-bit system may have a kernel of 64 bits, as Raspberry Pi OS has on a Pi 4: then `uname` says aarch64.
    "armv7l": "armv7l|armv8l|aarch64|arm64",
    "x86_64": "x86_64|amd64",
}
"""What `uname -m` says where the wheels of an architecture run."""


def lay_out_python_runner(
    folder: Path,
    target: Target,
    *,
    backend: str,
    engine: str,
    lock: Path,
    leave_out: Sequence[str],
    environment: Mapping[str, str],
    progress: Progress,
    more: More | None = None,
    libraries: str = "",
) -> Runtime:
    """Put the runner, its engine, the wheels of a lock file and what starts them into a bundle.

    Args:
        folder: the bundle; it exists.
        target: of an architecture that there are wheels for; armv6l has none.
        backend: the backend's name.
        engine: which one the runner loads: `runner/python/engine_NAME.py`.
        lock, leave_out, more: as `lay_out_wheels` takes them.
        environment, libraries: as `run_script` takes them.

    Raises:
        As `lay_out_wheels`.
    """
    layout = lay_out_wheels(
        lock,
        folder / _PACKAGES,
        architecture=target.architecture,
        python=target.os.python,
        glibc=target.os.glibc,
        leave_out=leave_out,
        progress=progress,
        more=more,
    )
    write_runner(folder, engine)
    run = folder / RUN
    run.write_text(run_script(target, environment, libraries), encoding="utf-8")
    run.chmod(0o755)
    return Runtime(
        backend=backend,
        python=target.os.python,
        glibc=layout.glibc,
        packages=dict(sorted(layout.packages.items())),
    )


def write_runner(folder: Path, engine: str) -> None:
    """Write the runner and its engine into `folder`, as they are sent to devices."""
    # As data: they are not ours to import, they belong to the device.
    for path, content in python_files(engine).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)


def run_script(target: Target, environment: Mapping[str, str], libraries: str = "") -> str:
    """Write the script `run`, which finds the device's Python and starts the runner with it.

    Args:
        environment: variables that are set unless the device's owner has; plain words, which the shell leaves alone.
        libraries: a folder among the packages that the loader looks into first.
    """
    lines = [f'export {name}="${{{name}:-{value}}}"\n' for name, value in environment.items()]
    if libraries:
        place = f"$here/{_PACKAGES}/{libraries}"
        lines.append(f'export LD_LIBRARY_PATH="{place}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n')
    is_64 = target.architecture != "armv7l"
    return _RUN_SCRIPT.format(
        architecture=target.architecture,
        machines=_MACHINES[target.architecture],
        python=target.os.python,
        version=target.os.python.replace(".", ", "),
        is_64=is_64,
        bits=64 if is_64 else 32,
        environment="".join(lines),
        packages=_PACKAGES,
        runner=_RUNNER,
    )
