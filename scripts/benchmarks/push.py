"""Push a release with edgedeploy, scp, rsync and fabric: seconds and bytes on good and bad networks.

Usage: scripts/bench push [--rounds N] [--folder FOLDER]

A real OpenSSH server on loopback, reached directly and through a proxy that lets bytes arrive 50 ms later each way, and
through one that also resets the connection three times. Each tool runs as a command of its own, from its start to its
end, all of them in each round and the first one another each time; printed are medians and their ratio to scp's. After
a reset each tool is started again, as a script around it would: scp and fabric begin anew, `rsync --partial` and
edgedeploy go on. Bytes are those that the proxy passed, both ways, SSH and all.

What edgedeploy does more than copy is part of its seconds: it looks whether the device fits, verifies every byte there,
writes them out, runs the model, and makes it current. «scp, verified» is scp, then `sha256sum -c` and `sync` over ssh.

A run of at least five rounds writes docs/bench_push.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from loopback_sshd import Server, serve
from lossy_proxy import lossy_proxy

from benchmarks import ROOT
from benchmarks.fault_subjects import make_bundle
from benchmarks.tools import peer_environment
from edgedeploy.values.bundle import Bundle

_DOCUMENT = ROOT / "docs" / "bench_push.md"
_FILE_BYTES = 50_000_000
_DELAY_S = 0.05
_CUTS = 3
_ROUNDS = 5
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Network:
    title: str
    delay_s: float = 0.0
    cut_after_bytes: int | None = None
    proxied: bool = True


_NETWORKS = (
    Network("loopback", proxied=False),
    Network(f"{_DELAY_S * 1e3:.0f} ms each way", _DELAY_S),
    Network(f"{_DELAY_S * 1e3:.0f} ms each way, {_CUTS} resets", _DELAY_S, cut_after_bytes=15_000_000),
)


@dataclass(frozen=True)
class Way:
    """How a tool reaches the server now."""

    server: Server
    port: int
    fabric: Path
    """A Python that has it."""

    def ssh(self) -> list[str]:
        options = {
            "UserKnownHostsFile": f"{self.server.folder}/known_hosts",
            "HostKeyAlias": self.server.known_name,
            "IdentitiesOnly": "yes",
            "IdentityFile": f"{self.server.folder}/user_key",
            "User": self.server.user,
            "BatchMode": "yes",
        }
        return ["-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


Command = Callable[[Way, Bundle, Path], list[Sequence[str | Path]]]
"""The commands that bring a bundle into a folder of the server, one after the other."""


def _scp(way: Way, bundle: Bundle, target: Path) -> list[Sequence[str | Path]]:
    files = sorted(bundle.path.iterdir())
    return [["scp", "-q", "-r", *way.ssh(), "-P", str(way.port), *files, f"127.0.0.1:{target}/"]]


def _scp_verified(way: Way, bundle: Bundle, target: Path) -> list[Sequence[str | Path]]:
    listed = "".join(f"{one.sha256}  {one.path}\n" for one in bundle.manifest.files)
    check = f"cd {shlex.quote(str(target))} && printf %s {shlex.quote(listed)} | sha256sum --quiet -c && sync"
    return [*_scp(way, bundle, target), ["ssh", *way.ssh(), "-p", str(way.port), "127.0.0.1", check]]


def _rsync(way: Way, bundle: Bundle, target: Path) -> list[Sequence[str | Path]]:
    shell = shlex.join(["ssh", *way.ssh(), "-p", str(way.port)])
    return [["rsync", "-rt", "--partial", "-e", shell, f"{bundle.path}/", f"127.0.0.1:{target}/"]]


def _fabric(way: Way, bundle: Bundle, target: Path) -> list[Sequence[str | Path]]:
    server = way.server
    known = server.folder / "known_hosts_fabric"
    known.write_text(f"[127.0.0.1]:{way.port} {server.host_key.public}\n")
    files = [path for path in sorted(bundle.path.rglob("*")) if path.is_file()]
    words = ["127.0.0.1", str(way.port), server.user, server.folder / "user_key", known, target, *files]
    return [[way.fabric, ROOT / "scripts" / "peers" / "fabric_put.py", *map(str, words)]]


def _edgedeploy(way: Way, bundle: Bundle, target: Path) -> list[Sequence[str | Path]]:
    settings = msgspec.structs.replace(way.server.settings, port=way.port, known_as=way.server.known_name)
    encoded = msgspec.json.encode(settings, enc_hook=str).decode()
    return [[sys.executable, "-m", "benchmarks.fault_subjects", bundle.path, "the server", encoded]]


_TOOLS: dict[str, Command] = {
    "scp": _scp,
    "scp, verified": _scp_verified,
    "rsync": _rsync,
    "fabric": _fabric,
    "edgedeploy push": _edgedeploy,
}


@dataclass(frozen=True)
class PushRun:
    scene: str
    network: str
    tool: str
    seconds: float
    passed_bytes: int | None
    starts: int
    """Of its first command: one, and one more after each reset."""


def _done(commands: list[Sequence[str | Path]]) -> int:
    """Run them, each again until it ends well. Returns how often the first was started."""
    starts = 0
    for number, command in enumerate(commands):
        for attempt in range(1 + _CUTS + 3):
            ended = subprocess.run(list(map(str, command)), capture_output=True, check=False, timeout=_TIMEOUT_S)
            starts += number == 0
            if ended.returncode == 0:
                break
            # As `edgedeploy push` waits after a lost connection when the device has not noticed it yet.
            time.sleep(0.2 * attempt)
        else:
            said = (ended.stderr or ended.stdout).decode(errors="replace").strip()
            raise RuntimeError(f"{shlex.join(map(str, command))[:200]} failed: {said[-500:]}")
    return starts


def _measured(scene: str, network: Network, tool: str, server: Server, fabric: Path, bundle: Bundle) -> PushRun:
    target = server.home / "copied" / tool.replace(" ", "-").replace(",", "")
    target.mkdir(parents=True, exist_ok=True)
    command = _TOOLS[tool]
    if not network.proxied:
        begun = time.perf_counter()
        starts = _done(command(Way(server, server.port, fabric), bundle, target))
        return PushRun(scene, network.title, tool, time.perf_counter() - begun, None, starts)
    cuts = {"cut_after_bytes": network.cut_after_bytes, "cuts": _CUTS} if network.cut_after_bytes else {}
    with lossy_proxy(server.port, delay_s=network.delay_s, **cuts) as proxy:
        begun = time.perf_counter()
        starts = _done(command(Way(server, proxy.port, fabric), bundle, target))
        return PushRun(scene, network.title, tool, time.perf_counter() - begun, proxy.passed_bytes, starts)


def _check(server: Server, bundle: Bundle, tool: str) -> None:
    """A copy that is none would be the quickest of all."""
    copies = {
        "edgedeploy push": server.home / ".edgedeploy" / "current" / bundle.manifest.name,
    }
    place = copies.get(tool, server.home / "copied" / tool.replace(" ", "-").replace(",", ""))
    for one in bundle.manifest.files:
        path = place / one.path
        # fabric's `put` has no folders.
        path = path if path.exists() else place / path.name
        if hashlib.sha256(path.read_bytes()).hexdigest() != one.sha256:
            raise RuntimeError(f"{tool} did not copy {one.path}")


def _forget(server: Server) -> None:
    for path in (server.home / "copied", server.home / ".edgedeploy"):
        shutil.rmtree(path, ignore_errors=True)


def measure(rounds: int, folder: Path, fabric: Path, note: Callable[[str], None]) -> list[PushRun]:
    runs: list[PushRun] = []
    settings = "Subsystem sftp /usr/lib/openssh/sftp-server\n"
    with serve(folder / "sshd", folder / "home", settings=settings) as server:
        for number in range(rounds):
            shared = os.urandom(2 << 20)
            first = make_bundle(folder, 2 * number, shared, os.uname().machine, _FILE_BYTES)
            second = make_bundle(folder, 2 * number + 1, shared, os.uname().machine, _FILE_BYTES)
            # rsync takes files of one size and one second for the same.
            for path in second.path.rglob("*"):
                os.utime(path, (1e9 + number, 1e9 + number))
            tools = list(_TOOLS)
            tools = tools[number % len(tools) :] + tools[: number % len(tools)]
            for network in _NETWORKS:
                _forget(server)
                for scene, bundle in (("first release", first), ("second release", second)):
                    if scene == "second release" and network != _NETWORKS[1]:
                        continue
                    for tool in tools:
                        run = _measured(scene, network, tool, server, fabric, bundle)
                        _check(server, bundle, tool)
                        runs.append(run)
                        note(f"{run}")
            for bundle in (first, second):
                shutil.rmtree(bundle.path)
    return runs


def _rows(runs: list[PushRun], scene: str, network: Network, changed_bytes: int) -> list[str]:
    mine = [run for run in runs if (run.scene, run.network) == (scene, network.title)]
    scp_s = statistics.median(run.seconds for run in mine if run.tool == "scp")
    rows = []
    for tool in _TOOLS:
        own = [run for run in mine if run.tool == tool]
        seconds = statistics.median(run.seconds for run in own)
        spread = f"{min(run.seconds for run in own):.2f} to {max(run.seconds for run in own):.2f}"
        passed = [run.passed_bytes for run in own if run.passed_bytes is not None]
        more = f"{statistics.median(passed) / changed_bytes:.3f}" if passed else "—"
        starts = f"{statistics.median(run.starts for run in own):.0f}"
        rows.append(f"| {tool} | {seconds:.2f} | {spread} | {seconds / scp_s:.2f} | {more} | {starts} |")
    return rows


def document(runs: list[PushRun], rounds: int) -> str:
    head = [
        "| | seconds | from, to | of scp's | bytes on the wire, of those that changed | starts |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines = [
        "# Pushes compared with scp, rsync and fabric",
        "",
        "Made by:",
        "",
        "    scripts/bench push",
        "",
        f"Each tool sends one file of {_FILE_BYTES / 1e6:.0f} MB that does not compress, and 2 MB "
        "more, to an OpenSSH server of this",
        f"machine. Figures are medians of {rounds} rounds; each tool is one command from start to end. edgedeploy's",
        "seconds are those of a whole push: it checks that the device fits, verifies all bytes there, syncs them",
        "to disk, runs the health check and makes the release current. «scp, verified» is scp, then `sha256sum",
        "-c` and `sync` over ssh.",
        "",
    ]
    first_bytes = _FILE_BYTES + (2 << 20)
    for network in _NETWORKS:
        lines += [f"## A first release: {network.title}", "", *head]
        lines += [*_rows(runs, "first release", network, first_bytes), ""]
    lines += [
        f"## A second release of the same model with the same runtime: {_NETWORKS[1].title}",
        "",
        f"The {_FILE_BYTES / 1e6:.0f} MB are different, the 2 MB are the same.",
        "",
        *head,
        *_rows(runs, "second release", _NETWORKS[1], _FILE_BYTES),
        "",
        "After a reset, scp and fabric send everything again; for a second release, they also send what has not",
        "changed. `rsync --partial` resumes. If only parts of a file change, rsync sends less than edgedeploy,",
        "which sends the whole file. But weights that were trained again or quantized have no common runs of",
        "bytes.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench push", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "bench-push", help="for the results")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    fabric = peer_environment(arguments.folder, "fabric")
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        runs = measure(arguments.rounds, Path(folder), fabric, lambda text: print(text, file=sys.stderr, flush=True))
    (arguments.folder / "runs.json").write_bytes(msgspec.json.encode(runs))
    text = document(runs, arguments.rounds)
    if arguments.rounds >= _ROUNDS:
        _DOCUMENT.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
