"""Mixed precision: which layers cost the accuracy, and how few of them have to stay in float.

The damage of each layer is what quantizing it alone does to the model's outputs. Layers then stay in float from the
costliest on: 1, 2, 4 … of them until the budget holds, and back by halves to the fewest that do. Damages do not simply
add up, but their order has been found to serve: Wu et al. 2020, Integer Quantization for Deep Learning Inference
(https://arxiv.org/abs/2004.09602), section 5, «partial quantization», takes the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import structs

from edgedeploy.datasets.dataset import Sample
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import Progress
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import open_session
from edgedeploy.metrics.agreement import OutputAgreements
from edgedeploy.metrics.group_agreement import GroupAgreements
from edgedeploy.optimize.base import Pass
from edgedeploy.optimize.recipes.recipe import Variant
from edgedeploy.optimize.search.evaluator import Evaluator
from edgedeploy.optimize.search.journal import Journal
from edgedeploy.values.quality import SQNR_FLOOR_DB
from edgedeploy.values.search import LayerDamage, Trial

_SAMPLES = 12


def can_be_mixed(passes: Sequence[Pass]) -> bool:
    """Return whether one of these passes can leave layers in float."""
    return any(_names_layers(step) for step in passes)


def keeping(passes: Sequence[Pass], layers: Sequence[str]) -> tuple[Pass, ...]:
    """Return the same passes, with these layers left in float by the first that names layers.

    That is the one that costs accuracy: it quantizes.
    """
    changed = list(passes)
    for index, step in enumerate(changed):
        if _names_layers(step):
            kept: tuple[str, ...] = step.keep_float  # type: ignore[attr-defined]
            changed[index] = structs.replace(step, keep_float=tuple(sorted({*kept, *layers})))
            break
    return tuple(changed)


def layer_damages(
    evaluator: Evaluator,
    variant: Variant,
    layers: dict[str, str],
    journal: Journal,
    progress: Progress,
    out_of_time: Callable[[], bool],
) -> list[LayerDamage]:
    """Return what each layer costs when it alone is quantized by the variant, the costliest first.

    Stops when time is up: layers that were not looked at are not in the list.

    Args:
        layers: their operators by name, as `Evaluator.layer_names` gives them.
        journal: has those that an earlier run looked at, and gets the others.
    """
    known = dict(journal.layers(variant.name))
    samples = evaluator.samples[:_SAMPLES]
    progress.step(f"looking at {len(layers)} layers of {variant.name}")
    for number, (layer, operator) in enumerate(layers.items(), start=1):
        if layer not in known:
            if out_of_time():
                break
            others = [name for name in layers if name != layer]
            content, _ = evaluator.build(_bare(keeping(variant.passes, others)))
            known[layer] = LayerDamage(layer=layer, operator=operator, sqnr_db=_sqnr_db(evaluator, content, samples))
            journal.add_layer(variant.name, known[layer])
        progress.advance(number, len(layers), "layers")
    found = [known[layer] for layer in layers if layer in known]
    return sorted(found, key=lambda damage: float("inf") if damage.sqnr_db is None else damage.sqnr_db)


def fewest_in_float(
    evaluator: Evaluator, variant: Variant, costliest: Sequence[LayerDamage], out_of_time: Callable[[], bool]
) -> Trial | None:
    """Try the variant with as few of the costliest layers in float as keep the budget; None when none does."""

    def attempt(count: int) -> Trial:
        kept = [damage.layer for damage in costliest[:count]]
        layers = "layer" if count == 1 else "layers"
        return evaluator.attempt(f"{variant.name}, {count} {layers} in float", keeping(variant.passes, kept))

    def holds(trial: Trial) -> bool:
        return trial.refused is None and trial.over_budget is None

    count, failed, best = 1, 0, None
    # Where nearly all has to stay in float, nothing is won.
    while count < len(costliest) and not out_of_time():
        trial = attempt(count)
        if holds(trial):
            best = trial
            break
        failed, count = count, count * 2
    while best is not None and count - failed > 1 and not out_of_time():
        middle = (failed + count) // 2
        trial = attempt(middle)
        if holds(trial):
            best, count = trial, middle
        else:
            failed = middle
    return best


def _names_layers(step: Pass) -> bool:
    return step.quantizes and step.essential and hasattr(step, "keep_float")


def _bare(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """Return the passes up to the quantizer: what recovers accuracy afterwards would hide what a layer costs."""
    for index, step in enumerate(passes):
        if _names_layers(step):
            return tuple(passes[: index + 1])
    return tuple(passes)


def _sqnr_db(evaluator: Evaluator, content: bytes, samples: Sequence[Sample]) -> float | None:
    """Return the SQNR in dB of the worst output or group of channels; None where all are equal to the float model's.

    A detector's coordinates dominate a sum over all: it says nothing of what a layer does to the scores.
    """
    agreement = OutputAgreements(evaluator.reference.output_names)
    reference = evaluator.reference_groups()
    groups = GroupAgreements(reference)
    try:
        session = open_session(content, format_of(content[:8]), exact=True)
        for sample in samples:
            outputs, expected = session.run(sample.feed), evaluator.reference.run(sample.feed)
            agreement.add(outputs, expected)
            groups.add(outputs, reference.add(expected))
    except EdgedeployError:
        return SQNR_FLOOR_DB
    each = (*agreement.figures().values(), *groups.figures().values())
    return min((figure.sqnr_db for figure in each if figure.sqnr_db is not None), default=None)
