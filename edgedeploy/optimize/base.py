"""What every pass is: requires → call → ensures.

A pass is a frozen value whose fields are its settings, so a recipe is validated by building its passes. Its name in
recipes is its class's name in kebab case: `FoldConstants` is `fold-constants`. A pass never sees the user's model: it
works on a copy that `pipeline` keeps or throws away, so a refused or failed pass leaves the model as it was.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Literal

import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.session import Feed
from edgedeploy.values.target import Target

Facts = dict[str, int | float | str]
"""What a pass did, for its evidence; keys carry units."""


def kebab_case(class_name: str) -> str:
    """Write a class name in kebab case: `"FoldConstants"` → `"fold-constants"`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", class_name).lower()


class PassSkipped(Exception):
    """Raised by a pass that finds half-way that it cannot do its work; the model stays as it was."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PostconditionError(Exception):
    """A pass broke its promise. The fault is edgedeploy's or a library's; the result is discarded."""


class Context:
    """What a pass may use besides the model. Knows of targets, never of devices."""

    def __init__(
        self,
        *,
        target: Target | None = None,
        calibration: Dataset | None = None,
        probes: Sequence[Feed] = (),
        progress: Progress = SILENT,
    ) -> None:
        """
        Args:
            target: the kind of board the result is for; None when it is for any.
            calibration: the dataset that quantizers take ranges from; None when there is none.
            probes: a few feeds on which passes that keep results are checked.
            progress: hears what is going on.
        """
        self.target = target
        self.calibration = calibration
        self.probes = tuple(probes)
        self.progress = progress
        self.reference: bytes | None = None
        """The model as it was before the first pass that quantizes, serialized: what accuracy is recovered towards.
        None until then. Set by the pipeline."""
        self.before_renaming: bytes | None = None
        """The quantized model as it was before a pass gave its values other names: so it can be held against
        `reference` value by value. None where no pass did, or nothing was quantized before. Set by the pipeline."""
        self.memo: dict[Hashable, Any] = {}
        """What was costly to find out, such as ranges on the calibration data, by what it depends on. A search hands
        the same one to many runs."""


class Pass(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name", tag=kebab_case):
    """Base of all passes. The docstring's first line is what `edgedeploy recipes NAME` says of it."""

    tolerance: ClassVar[float | None] = None
    """How far outputs may move, relative to the largest magnitude of the output; None: they change by design."""
    essential: ClassVar[bool] = False
    """Whether a recipe has failed when this pass refuses: the pass is what the recipe is for."""
    needs_calibration: ClassVar[bool] = False
    quantizes: ClassVar[bool] = False
    """Whether numbers get fewer bits, and with that every value another error than before."""
    reaches: ClassVar[Literal["work", "weights"] | None] = None
    """What the evidence is to say it reached: weights and the work that is done with them, or weights alone, where the
    computation stays as it is; None for passes that prepare or tidy up."""
    renames: ClassVar[bool] = False
    """Whether values may get names that other values had."""
    changes_interface: ClassVar[bool] = False
    """Whether inputs may go, or get fixed extents. What stays keeps its name and type."""

    @classmethod
    def title(cls) -> str:
        """Return the pass's name in recipes."""
        return kebab_case(cls.__name__)

    def requires(self, model: ir.Model, context: Context) -> str | None:
        """Return why the pass cannot take this model, or None. Must not change the model."""
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        """Apply the pass. `model` is a copy that may be changed in place.

        Raises:
            PassSkipped: it turned out that it cannot be done.
        """
        raise NotImplementedError

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        """Check what this pass promises. `pipeline` has already checked what every pass promises.

        Raises:
            PostconditionError: the promise is broken.
        """
