"""C for other machines: `zig cc`, a cross-compiler that comes as a wheel.

It is clang with the C libraries of all targets as source, musl and every glibc among them: no sysroot is needed, and
the same sources give the same program on every host.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from edgedeploy.compile.dependencies.tool_errors import compiler_errors
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.extras import extra_line
from edgedeploy.foundation.files import cache_folder, unwritable, write_bytes
from edgedeploy.foundation.programs import end_with_parent
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import GENERATED_SOURCE, read_file
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.values.target import Target

_TIMEOUT_S = 1800.0
"""zig compiles a target's C library the first time it is asked for one, on a slow machine for minutes."""

_FLAGS = ("-std=gnu11", "-O3", "-fno-sanitize=all", "-fno-ident", "-ffunction-sections", "-fdata-sections", "-g0")
_LINK_FLAGS = ("-Wl,--gc-sections", "-Wl,--build-id=none", "-s")

_MUSL = {
    "aarch64": "aarch64-linux-musl",
    "armv7l": "arm-linux-musleabihf",
    "armv6l": "arm-linux-musleabihf",
    "x86_64": "x86_64-linux-musl",
}
_GLIBC = {"aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf", "x86_64": "x86_64-linux-gnu"}


class Machine(Struct, frozen=True, kw_only=True):
    """A machine that programs are compiled for."""

    triple: str
    """As zig has it, e.g. `"aarch64-linux-musl"`, or `"aarch64-linux-gnu.2.36"`."""
    cpu: str
    """As zig has it: GCC's name with `_`, e.g. `"cortex_a72"`."""
    library_cpu: str
    """What the C library is compiled for: the least of the architecture's, so that it is compiled once for all."""
    static: bool


def static_machine(target: Target) -> Machine:
    """Describe the machine for programs that need nothing on the device, not even a C library: they bring musl."""
    return _machine(target, _MUSL[target.architecture], static=True)


def dynamic_machine(target: Target) -> Machine:
    """Describe the machine for programs that load shared libraries: of the device's own glibc.

    Raises:
        HostError: zig has no glibc for the architecture.
    """
    if target.architecture not in _GLIBC:
        raise HostError(f"programs for glibc on {target.architecture} cannot be compiled")
    return _machine(target, f"{_GLIBC[target.architecture]}.{target.os.glibc}", static=False)


def _machine(target: Target, triple: str, *, static: bool) -> Machine:
    return Machine(triple=triple, cpu=_cpu(target), library_cpu=_LIBRARY_CPUS[target.architecture], static=static)


def compile_c(
    sources: Sequence[Path],
    output: Path,
    machine: Machine,
    *,
    includes: Sequence[Path] = (),
    libraries: Sequence[str] = ("m",),
    flags: Sequence[str] = (),
    progress: Progress,
) -> None:
    """Compile and link a program. The same sources and zig give the same bytes, wherever they lie.

    Args:
        sources: C files.
        output: the program; it becomes executable.
        includes: folders with headers.
        libraries: of those that the C library brings, e.g. `"m"`, `"dl"`.
        flags: for compiler and linker, beyond those that all get.

    Raises:
        HostError: zig is not installed, does not answer, or does not compile the sources; or there is no room.
    """
    _build_c_library(machine, libraries, progress)
    command = [*_cc(machine, machine.cpu), *flags, "-c"]
    # No path of this machine gets into the program, by `__FILE__` or otherwise.
    for kept in sorted({source.parent for source in sources} | set(includes)):
        command += [f"-ffile-prefix-map={kept}=.", "-I", str(kept)]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(output.parent) as folder:
            objects = [Path(folder) / f"{place}.o" for place in range(len(sources))]
            _run_all(
                [
                    [*command, str(source), "-o", str(compiled)]
                    for source, compiled in zip(sources, objects, strict=True)
                ],
                progress,
            )
            made = Path(folder) / "program"
            _run([*_link(machine, objects, libraries), *flags, "-o", str(made)], progress)
            made.chmod(0o755)
            made.replace(output)
    except OSError as error:
        raise unwritable(output, error) from error


def c_library_mark(machine: Machine) -> Path:
    """Return the file that says that zig has compiled the C library for a machine, and keeps it in its cache.

    It lies in that cache, so that it goes with it.
    """
    kind = "static" if machine.static else "dynamic"
    return cache_folder() / "zig" / f"edgedeploy-{zig_version()}-{machine.triple}-{machine.library_cpu}-{kind}"


def _build_c_library(machine: Machine, libraries: Sequence[str], progress: Progress) -> None:
    """Let zig compile the C library, where it was not asked for it yet, as a step of its own: it takes minutes."""
    mark = c_library_mark(machine)
    if mark.exists():
        return
    progress.step(f"compiling the C library for {machine.triple} (once on this machine; it takes minutes)")
    with scratch_folder() as folder:
        source = Path(folder) / "empty.c"
        source.write_text("int main(void) { return 0; }\n")
        _run([*_link(machine, [source], libraries), "-o", str(Path(folder) / "program")], None)
    write_bytes(mark, b"")
    progress.step("compiling the program")


def _cc(machine: Machine, cpu: str) -> list[str]:
    command = [str(_zig()), "cc", "-target", machine.triple, f"-mcpu={cpu}", *_FLAGS]
    return [*command, "-static"] if machine.static else command


def _link(machine: Machine, files: Sequence[Path], libraries: Sequence[str]) -> list[str]:
    command = [*_cc(machine, machine.library_cpu), *(str(file) for file in files)]
    return [*command, *(f"-l{library}" for library in libraries), *_LINK_FLAGS]


def zig_version() -> str:
    """Return the version of the installed zig, e.g. `"0.17.1"`.

    Raises:
        HostError: it is not installed.
    """
    return _run([str(_zig()), "version"], None).strip()


def sources_digest(sources: Sequence[Path], machine: Machine) -> str:
    """Return the SHA-256, in hexadecimal digits, of what decides what a program is: for keeping what was compiled."""
    digest = hashlib.sha256(f"{zig_version()} {machine} {_FLAGS} {_LINK_FLAGS}\n".encode())
    for source in sorted(sources, key=lambda path: path.name):
        content = read_file(source, GENERATED_SOURCE)
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


_ARMV7 = "generic+v7a-neon-d32+vfp3d16"
_CPUS = {"generic-armv7-a": _ARMV7}
"""Of names that GCC has and LLVM has not, what LLVM calls the same: its `v7a` has NEON unless that is taken away."""

_LIBRARY_CPUS = {"aarch64": "generic", "armv7l": _ARMV7, "armv6l": "arm1176jzf_s", "x86_64": "x86_64"}


def _cpu(target: Target) -> str:
    # Where a target stands for many cores, its file names the architecture that they have in common.
    return _CPUS.get(target.cpu.core, target.cpu.core.replace("-", "_").replace(".", "_"))


def _zig() -> Path:
    found = importlib.util.find_spec("ziglang")
    folder = Path(found.origin).parent if found is not None and found.origin is not None else None
    if folder is None or not (folder / "zig").is_file():
        raise HostError(
            "the cross-compiler zig is not installed",
            why="programs for boards are compiled with it",
            hint=extra_line("native"),
        )
    return folder / "zig"


def _run_all(commands: Sequence[list[str]], progress: Progress) -> None:
    """Run each command, as many at once as there are cores; where several fail, the first one's error is raised."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done in [pool.submit(_run, command, progress) for command in commands]:
            done.result()


def _run(command: list[str], progress: Progress | None) -> str:
    kept = cache_folder() / "zig"
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(kept), "ZIG_LOCAL_CACHE_DIR": str(kept)}
    try:
        kept.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
            preexec_fn=end_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"zig has not come to an end in {_TIMEOUT_S / 60:g} minutes") from error
    except OSError as error:
        raise HostError(
            "zig cannot be started", why=str(error), hint="install it again: pip install ziglang"
        ) from error
    if done.returncode != 0:
        raise HostError("zig does not compile the program", why=compiler_errors(done.stderr))
    if progress is not None and done.stderr.strip():
        progress.note(done.stderr.strip()[:600])
    return done.stdout
