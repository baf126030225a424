"""Tries ways of optimizing one model and says what each costs and saves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx_ir as ir
from msgspec import structs

from edgedeploy.datasets.dataset import Sample
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.inference.session import Session, open_session
from edgedeploy.metrics.group_agreement import ReferenceGroups
from edgedeploy.metrics.model_comparison import ResultFailedError, compare
from edgedeploy.optimize.base import Context, Pass
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.graph.linear import find_linear
from edgedeploy.optimize.guard.accuracy import accuracy_violations
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.request import OptimizeRequest
from edgedeploy.optimize.search.journal import Journal
from edgedeploy.optimize.search.samples import RememberingSession, choose_samples
from edgedeploy.values.evidence import PassEvidence
from edgedeploy.values.search import Trial

_FEEDS = 4


class Evaluator:
    """The prepared model, the samples, and what was tried so far."""

    def __init__(
        self,
        request: OptimizeRequest,
        evaluation: Evaluation,
        prepared: ir.Model | None,
        journal: Journal,
        folder: Path,
    ) -> None:
        """
        Args:
            evaluation: what the trials are judged on, a part of its data.
            prepared: where every trial begins; it stays as it is. None for TensorFlow Lite: those models come prepared
                by their converter.
            folder: where results are kept until the search has ended.
        """
        self._source = request.source
        self._prepared = prepared
        self._finish = request.recipe.finish
        self._evaluation = evaluation
        self._speed = request.speed
        self._journal = journal
        self._folder = folder
        # One for all trials: what calibration found out serves them all.
        self._context: Context = request.context(SILENT)
        session = self._open(self._source.content)
        self.samples: tuple[Sample, ...] = choose_samples(evaluation.data, session)
        self.reference = RememberingSession(session)
        """The source in exact arithmetic."""
        self.trials: dict[str, Trial] = {}
        """By name, in the order they were tried."""
        self._passes: dict[str, tuple[Pass, ...]] = {}

    def build(self, passes: Sequence[Pass]) -> tuple[bytes, tuple[PassEvidence, ...]]:
        """Apply these passes and the recipe's finish to the prepared model.

        Returns:
            The result, serialized, and the evidence of each pass.
        """
        self._context.reference = self._context.before_renaming = None
        if self._prepared is None:
            from edgedeploy.optimize.tflite.pipeline import run_passes as run_tflite_passes

            content, evidence = run_tflite_passes(self._source.content, (*passes, *self._finish), self._context)
            return (content if content == self._source.content else self._source.named(content)), evidence
        changed, evidence = run_passes(self._prepared, (*passes, *self._finish), self._context)
        return self._source.named(serialized(changed)), evidence

    def attempt(self, name: str, passes: Sequence[Pass]) -> Trial:
        """Try these passes, or take what the journal knows of them."""
        self._passes[name] = tuple(passes)
        known = self._journal.trial(passes)
        if known is None:
            begun = time.monotonic()
            known = structs.replace(self._attempt(name, passes), seconds=time.monotonic() - begun)
            self._journal.add_trial(passes, known)
        self.trials[name] = known = structs.replace(known, name=name)
        return known

    def reference_groups(self) -> ReferenceGroups:
        """Return a new sum over the source's answers, for groups of channels as its head or the values tell them."""
        decoder = self._evaluation.decoder
        return ReferenceGroups(self.reference.output_names, decoder.groups if decoder else None)

    def passes_of(self, name: str) -> tuple[Pass, ...]:
        """Return what the trial of that name was made with, without preparation and finish."""
        return self._passes[name]

    def content(self, name: str) -> bytes:
        """Return the result of a trial, serialized; built anew where a search was resumed."""
        path = self._path(name)
        if not path.exists():
            path.write_bytes(self.build(self._passes[name])[0])
        return read_file(path, MODEL)

    def time(self, name: str) -> Trial:
        """Measure how fast the trial's result is, unless that was done or nobody judges speed."""
        trial = self.trials[name]
        if self._speed is None or trial.speed is not None or trial.refused is not None:
            return trial
        feeds = [sample.feed for sample in self.samples[:_FEEDS]]
        begun = time.monotonic()
        try:
            figure = self._speed.compare(self._source.content, self.content(name), feeds)
            trial = structs.replace(trial, speed=figure)
        except ResultFailedError as error:
            trial = structs.replace(trial, refused=f"its result does not run where speed is judged: {error}")
        trial = structs.replace(trial, seconds=trial.seconds + time.monotonic() - begun)
        self.trials[name] = trial
        self._journal.add_trial(self._passes[name], trial)
        return trial

    def layer_names(self) -> dict[str, str]:
        """Return the operator of each layer that a quantizer would take, by the name of the layer's first output."""
        if self._prepared is not None:
            layers, _ = find_linear(self._prepared, ("Conv", "MatMul", "Gemm"))
            names = ((layer.node.outputs[0].name, layer.operator) for layer in layers)
            return {name: operator for name, operator in names if name}
        from edgedeploy.optimize.tflite.pipeline import layer_names

        return layer_names(self._source.content)

    def _attempt(self, name: str, passes: Sequence[Pass]) -> Trial:
        described = tuple(msgspec.json.decode(msgspec.json.encode(list(passes))))
        content, evidence = self.build(passes)
        if (why := _unmet(passes, evidence)) is not None:
            return Trial(name=name, passes=described, refused=why)
        try:
            session = self._open(content)
            compared = compare(
                self.reference,
                (session,),
                self.samples,
                metric=self._evaluation.metric,
                classifies=self._evaluation.classifies,
                decoder=self._evaluation.decoder,
                ranks=self._evaluation.ranks,
            )
        except (ResultFailedError, EdgedeployError) as error:
            return Trial(name=name, passes=described, refused=f"its result does not run: {error}")
        self._path(name).write_bytes(content)
        judged = compared.sessions[0]
        violations = accuracy_violations(compared, self._evaluation)
        return Trial(
            name=name,
            passes=described,
            size_bytes=len(content),
            metric=judged.metric.value if judged.metric else None,
            change=judged.change,
            top1_match=judged.agreement.answers_match,
            sqnr_db=judged.worst_sqnr_db,
            samples=compared.samples,
            over_budget=violations[0].reason if violations else None,
        )

    def _open(self, content: bytes) -> Session:
        return open_session(content, self._source.format, exact=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{list(self._passes).index(name):04d}.onnx"


def _unmet(passes: Sequence[Pass], evidence: Sequence[PassEvidence]) -> str | None:
    """Return which essential pass did nothing; None when each did something.

    A quantizer behind another one may: it takes what the first has left, if it has left something.
    """
    has_quantized = False
    for step, done in zip(passes, evidence, strict=False):
        if step.essential and not done.changed and not (step.quantizes and has_quantized):
            return f"{done.name}: {done.refused or 'it found nothing to change'}"
        has_quantized = has_quantized or (step.quantizes and done.changed)
    return None
