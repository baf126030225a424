"""The interface between `compile` and a backend: what a backend is asked to build, and what it says it built."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from edgedeploy.foundation.progress import Progress
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.values.bundle import Needs, Runtime
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target


class BackendRequest(Struct, frozen=True, kw_only=True):
    """What a backend is asked to build: the model, the target, and golden samples with outputs computed here."""

    model: Path
    """One file, without external data."""
    format: ModelFormat
    facts: ModelFacts
    target: Target
    golden: Path
    """A folder of golden inputs and outputs, `NNNN.npz` with the keys `input:NAME` and `output:NAME`."""
    golden_samples: int
    golden_sources: tuple[str, ...] = ()
    """What each golden sample came from, where that is known: the files of a folder. Empty for random ones."""
    input_shapes: dict[str, tuple[int, ...]]
    """Of the golden inputs, by name: what a backend for static shapes binds dynamic dimensions to."""


class BuildResult(Struct, frozen=True, kw_only=True):
    """What a backend put into a bundle."""

    runtime: Runtime
    model_file: str
    """Path in the bundle of the file that holds the weights: the model, or the program that it became."""
    runner: str
    """Path in the bundle of the program that speaks the runner's protocol."""
    needs: Needs


class Backend(Protocol):
    """One way to execute a model on a device. `backends/NAME.py` holds one, as `BACKEND`, beside its `FACTS`."""

    def unsupported_reason(self, target: Target, format: ModelFormat) -> str | None:
        """Say why this backend cannot run models of this format on the target; None when it can.

        What its facts rule out is not asked: this is for what only this machine or the target's system tells.
        """

    def build(self, request: BackendRequest, folder: Path, progress: Progress) -> BuildResult:
        """Put the model, or what it becomes, and all that runs it into `folder`.

        The same request gives the same files. What is to be executable has its bit set.

        Raises:
            HostError: the network, a program or disk space is missing.
            UnsupportedError: there is no runtime for this target, or it cannot do something in this model.
        """
