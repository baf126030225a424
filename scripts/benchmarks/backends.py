"""Run real models through every backend on emulated boards: bytes sent, cold start, memory, instructions.

Usage: scripts/bench backends [--boards TARGET,TARGET] [--models NAME,NAME] [--backends NAME,NAME] …

For each model, backend and board: whether it runs and agrees with the host on the same samples, the bundle's bytes,
what is sent when the board has another model of that backend, a cold start, the peak of memory, and the instructions of
an inference. A backend that refuses is a row with its reason. A run over all models and backends writes
docs/bench_backends.md; raw figures stand in FOLDER/backends, one JSON for each row, and what is there of the same
bundle is not measured again (--again does).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import statistics
import sys
import tempfile
from pathlib import Path

import onnx.parser
from msgspec import convert, structs, to_builtins
from wild.mobilenet import write_mobilenet_v2
from wild.models import DEFAULT_FOLDER, Ready, models

from benchmarks import ROOT
from benchmarks.backends_report import BackendRow, BackendRows, document, print_tables
from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.push import push
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import emulated_board
from edgedeploy.foundation.errors import BusyError, DeviceError, EdgedeployError
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.progress import SILENT
from edgedeploy.measure.conditions import observe
from edgedeploy.measure.evaluate import test
from edgedeploy.measure.instruction_counts import instructions
from edgedeploy.measure.protocol import conversation
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.targets.backends import backend_names
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import Bundle, Release
from edgedeploy.values.quality import Agreement
from edgedeploy.values.target import Target

_MODELS = ("ocr-direction", "magika", "squeezenet", "mobilenet-v2")
_QUANTIZED = "-int8"
_MADE_UP = {"mobilenet-v2": "squeezenet"}
"""A model that no package has, and of whose data it is."""
_BOARDS = ("rpi4", "rpi2")
_DOCUMENT = ROOT / "docs" / "bench_backends.md"

_FLOORS_DB = {"float": 60.0, "integer": 20.0}
"""Least SQNR against the host in exact arithmetic. Sums of floats in another order differ in the sixth digit (120 dB),
and grow with depth; integer kernels round once more for each operator, which is what quantization does itself."""
_MEASURED_AS = 1
"""Raise it when rows are measured in another way: then all are measured again."""

_INFERENCES = 5
_START_LIMIT = 20
_START_ENOUGH_S = 0.3
"""Of the board's clock, 10^9 instructions each: a short start is repeated until it is that much, for /proc/uptime tells
hundredths of a second."""

# Starts the runner, loads the model and ends it, $2 times; says what the clock said before and after.
_START = """
read -r before rest </proc/uptime
i=0
while [ "$i" -lt "$2" ]; do
    printf '%s\\n' '{"do": "load", "threads": 1}' '{"do": "quit"}' | "$1/run" serve >/dev/null || exit 1
    i=$((i + 1))
done
read -r after rest </proc/uptime
echo "$before $after"
"""

# Another model, which brings the backend's runtime to the board before the one that is measured.
_OTHER = """
<ir_version: 8, opset_import: ["" : 13]> other (float[1, 8] x) => (float[1, 4] y)
<float[8, 4] w = {
    1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8
}>
{ m = MatMul(x, w) y = Relu(m) }
"""


class BackendSubject:
    """A model and its data."""

    def __init__(self, name: str, path: Path, ready: Ready) -> None:
        self.name, self.path = name, path
        self.calibration, self.evaluation, self.metric = str(ready.calibration), str(ready.evaluation), ready.metric
        words = [node.op_type for node in onnx.load(path).graph.node]
        self.arithmetic = "integer" if any("Quantize" in word or "Integer" in word for word in words) else "float"


def subjects(folder: Path, names: list[str]) -> list[BackendSubject]:
    """The models that were asked for; `NAME-int8` is NAME after the recipe int8."""
    found = []
    for name in names:
        plain = name.removesuffix(_QUANTIZED)
        (ready,) = models(folder, [_MADE_UP.get(plain, plain)])
        path = _made_up(folder, plain) if plain in _MADE_UP else ready.path
        found.append(BackendSubject(name, _quantized(folder, plain, path, ready) if name != plain else path, ready))
    return found


def _made_up(folder: Path, name: str) -> Path:
    path = folder / "backends" / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mobilenet_v2(path)
    return path


def _quantized(folder: Path, name: str, source: Path, ready: Ready) -> Path:
    path = folder / "backends" / f"{name}{_QUANTIZED}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = path.with_suffix(".made-from")
    made_from = hashlib.sha256(source.read_bytes() + (ROOT / "quantize" / "int8.toml").read_bytes()).hexdigest()
    if not path.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != made_from:
        optimize(
            source,
            load_recipe("int8"),
            path,
            calibration=str(ready.calibration),
            evaluation=str(ready.evaluation),
            metric=ready.metric,
            max_drop=1.0,
            allowed={"slower"},
        )
        stamp.write_text(made_from, encoding="utf-8")
    return path


class BackendBench:
    """One board, and the figures of what was measured on it."""

    def __init__(self, target: Target, connection: Connection, folder: Path, samples: int, again: bool) -> None:
        self.target, self.connection, self.folder = target, connection, folder
        self.samples, self.again = samples, again
        self._brought: dict[str, int] = {}

    def row(self, subject: BackendSubject, backend: str) -> BackendRow:
        """Figures, or the reason why there are none."""
        empty = BackendRow(model=subject.name, backend=backend, board=self.target.name)
        with tempfile.TemporaryDirectory(prefix="bench-backends-") as scratch:
            try:
                bundle = compile_model(
                    subject.path,
                    self.target,
                    Path(scratch) / "model.edge",
                    name=subject.name,
                    backend=backend,
                    golden=subject.calibration,
                    golden_samples=4,
                )
            except EdgedeployError as error:
                return self._kept(structs.replace(empty, reason=_words(error)))
            known = self._known(empty, bundle.sha256)
            if known is not None:
                return known
            try:
                row = self._measured(empty, subject, bundle, Path(scratch))
            except (BusyError, DeviceError) as error:
                # Not kept: it may be the machine's fault, and is to be looked at.
                return structs.replace(empty, failure=_words(error), bundle_bytes=bundle.size_bytes)
        return self._kept(structs.replace(row, made_from=self._made_from(bundle.sha256)))

    def _kept(self, row: BackendRow) -> BackendRow:
        place = _place(self.folder, row.board, row.model, row.backend)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(to_builtins(row), indent=1) + "\n", encoding="utf-8")
        return row

    def _known(self, row: BackendRow, sha256: str) -> BackendRow | None:
        found = None if self.again else left(self.folder, row.board, row.model, row.backend)
        return found if found and found.made_from == self._made_from(sha256) else None

    def _made_from(self, sha256: str) -> str:
        return f"{sha256} {self.samples} {_MEASURED_AS}"

    def _measured(self, row: BackendRow, subject: BackendSubject, bundle: Bundle, scratch: Path) -> BackendRow:
        brought_bytes = self._bring_runtime(row.backend, scratch)
        pushed = push(bundle, self.connection)
        # Else the kernel writes it out while it is counted.
        self.connection.run(["sync"], timeout_s=600.0)
        release = pushed.release
        loaded = self._start(release)
        counted, first_count, peak_rss_bytes = self._counted(release)
        accuracy = test(
            self.connection,
            release,
            subject.evaluation,
            metric=subject.metric,
            limit=self.samples,
            model=subject.path,
        ).accuracy
        assert accuracy is not None
        agreement = accuracy.agreement
        return structs.replace(
            row,
            bundle_bytes=bundle.size_bytes,
            sent_first_bytes=brought_bytes,
            sent_bytes=pushed.sent_bytes,
            start_instructions=loaded + first_count,
            peak_rss_bytes=peak_rss_bytes,
            instructions=counted,
            samples=agreement.samples,
            top1_match=agreement.top1_match,
            sqnr_db=agreement.sqnr_db,
            agrees=_agrees(agreement, subject.arithmetic),
        )

    def _bring_runtime(self, backend: str, scratch: Path) -> int:
        """Another model of that backend to the board, which had nothing; the bytes that were sent for it."""
        if backend not in self._brought:
            self.connection.run(["rm", "-rf", ".edgedeploy"], timeout_s=600.0)
            self._brought.clear()
            model = scratch / "other.onnx"
            model.write_bytes(onnx.parser.parse_model(_OTHER).SerializeToString())
            other = compile_model(
                model, self.target, scratch / "other.edge", name="other", backend=backend, golden_samples=1
            )
            self._brought[backend] = push(other, self.connection).sent_bytes
        return self._brought[backend]

    def _start(self, release: Release) -> int:
        """Instructions from nothing to a model that is loaded; the files are in memory already."""
        self._seconds(release, 1)
        times = 1
        while (passed_s := self._seconds(release, times)) < _START_ENOUGH_S and times < _START_LIMIT:
            times = min(_START_LIMIT, max(times + 1, round(times * _START_ENOUGH_S / max(passed_s, 0.01)) + 1))
        return round(passed_s * 1e9 / times)

    def _seconds(self, release: Release, times: int) -> float:
        command = ["sh", "-c", _START, "bench", release.path, str(times)]
        done = self.connection.run(command, timeout_s=1800.0)
        words = done.stdout.decode(errors="replace").split()
        if done.exit_status or len(words) != 2:
            raise DeviceError("the runner does not start", why=done.stderr.decode(errors="replace")[-300:])
        return float(words[1]) - float(words[0])

    def _counted(self, release: Release) -> tuple[int, int, int | None]:
        """Instructions of an inference (the median) and of the first one, and the peak of memory in bytes."""
        with conversation(self.connection, release) as talk:
            talk.ask({"do": "load", "threads": 1})
            bounds = {"warmup": 1, "warmup_s": 0.0, "min_samples": _INFERENCES, "min_s": 0.0, "max_s": 3600.0}
            talk.send({"do": "bench", **bounds, "max_samples": _INFERENCES})
            while (answer := talk.receive())[0]["is"] == "progress":
                pass
            message, arrays = answer
            counts = instructions(talk, arrays, "samples_ns")
            observed = observe(talk, self.connection, release)
        return round(statistics.median(counts)), int(message["first_ns"]), observed.peak_rss_bytes


def left(folder: Path, board: str, model: str, backend: str) -> BackendRow | None:
    """The row that an earlier run left."""
    place = _place(folder, board, model, backend)
    return convert(json.loads(place.read_text(encoding="utf-8")), BackendRow) if place.exists() else None


def _place(folder: Path, board: str, model: str, backend: str) -> Path:
    return folder / "backends" / f"{board}.{backend}.{model}.json"


def _agrees(agreement: Agreement, arithmetic: str) -> bool:
    if agreement.nonfinite_elements or agreement.other_shapes:
        return False
    return agreement.sqnr_db is None or agreement.sqnr_db >= _FLOORS_DB[arithmetic]


def _words(error: EdgedeployError) -> str:
    return ": ".join(part for part in (error.what, error.why) if part)


def measure(
    chosen: list[BackendSubject], backends: list[str], boards: list[str], arguments: argparse.Namespace
) -> BackendRows:
    """Every row, board by board; each board is booted for its rows and shut down again."""
    rows: BackendRows = {}
    for board in boards:
        target = load_target(board)
        with contextlib.ExitStack() as stack:
            name = f"bench-{board}"
            # Two that measure at once on one board would count each other.
            stack.enter_context(exclusive(arguments.folder / "backends" / name, f"measuring on {name}"))
            status = stack.enter_context(emulated_board(name, target=board, counting=True, progress=SILENT))
            connection = stack.enter_context(connect(status.address))
            bench = BackendBench(target, connection, arguments.folder, arguments.samples, arguments.again)
            for backend in backends:
                for subject in chosen:
                    print(f"{board}: {subject.name} on {backend} …", file=sys.stderr, flush=True)
                    row = bench.row(subject, backend)
                    print(f"    {row}", file=sys.stderr, flush=True)
                    rows[board, subject.name, backend] = row
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench backends", description=(__doc__ or "").splitlines()[0])
    defaults = [*_MODELS, *(f"{name}{_QUANTIZED}" for name in ("ocr-direction", "mobilenet-v2"))]
    parser.add_argument("--models", default=",".join(defaults), metavar="NAME,NAME", help="of scripts/wild/models.py")
    every = backend_names()
    parser.add_argument("--backends", default=",".join(every), metavar="NAME,NAME", help=f"of {', '.join(every)}")
    parser.add_argument("--boards", default=",".join(_BOARDS), metavar="TARGET,TARGET", help="targets with emulation")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="compared with the host (4)")
    parser.add_argument("--again", action="store_true", help="measure again what is known")
    parser.add_argument("--show", action="store_true", help="measure nothing, only show what earlier runs left")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="for models, data and results")
    arguments = parser.parse_args()
    arguments.folder = arguments.folder.resolve()
    names, backends, boards = (text.split(",") for text in (arguments.models, arguments.backends, arguments.boards))
    if arguments.show:
        found = (left(arguments.folder, board, name, each) for board in boards for name in names for each in backends)
        rows = {(row.board, row.model, row.backend): row for row in found if row}
    else:
        rows = measure(subjects(arguments.folder, names), backends, boards, arguments)
    print_tables(rows)
    if arguments.models == ",".join(defaults) and backends == list(every):
        command = f"scripts/bench backends --boards {arguments.boards} --samples {arguments.samples}"
        _DOCUMENT.write_text(document(rows, command, _FLOORS_DB), encoding="utf-8")
        print(_DOCUMENT)


if __name__ == "__main__":
    main()
