"""What is to be known of a built-in metric without computing it: which way is better, and which values it can have."""

from __future__ import annotations

import re

from msgspec import Struct

from edgedeploy.values.data import Task


class MetricFacts(Struct, frozen=True):
    """One built-in metric."""

    tasks: tuple[Task, ...]
    """That it is a usual one of; of the first of them it is the default where it is the first such metric."""
    larger_is_better: bool = True
    is_share: bool = True
    """Whether its values lie in [0, 1], so that people read it in per cent."""
    reads_scores: bool = False
    """Whether it reads the output that holds class scores: who names it says that the model classifies."""
    weak: str = ""
    """Why it alone should not decide; empty where it may."""


_CLASSES = MetricFacts(("classification", "text"), reads_scores=True)
_BOXES = MetricFacts(("detection",))
_PIXELS = MetricFacts(("segmentation",))
_ERRORS = MetricFacts(("series",), larger_is_better=False, is_share=False)
_NUMBERS = MetricFacts(("series",), is_share=False)
_PICTURES = MetricFacts(("picture-to-picture",), is_share=False)
_WORDS = MetricFacts(("speech",), larger_is_better=False, is_share=False)
_RANKS = MetricFacts(("embedding",))
METRIC_FACTS: dict[str, MetricFacts] = {
    "top1": _CLASSES,
    "top5": _CLASSES,
    "balanced-accuracy": _CLASSES,
    "f1": _CLASSES,
    "f1-binary": _CLASSES,
    "f1-macro": _CLASSES,
    "f1-micro": _CLASSES,
    "auroc": _CLASSES,
    "average-precision": _CLASSES,
    "map": _BOXES,
    "map50": _BOXES,
    "mask-map": MetricFacts(("instance-segmentation", "detection")),
    "keypoint-map": MetricFacts(("keypoints",)),
    "miou": _PIXELS,
    "dice": _PIXELS,
    "mae": _ERRORS,
    "rmse": _ERRORS,
    "r2": _NUMBERS,
    "psnr": _PICTURES,
    "ssim": _PICTURES,
    "wer": _WORDS,
    "cer": _WORDS,
    "ctc-cer": _WORDS,
    "recall@1": _RANKS,
    "recall@5": _RANKS,
    "recall@10": _RANKS,
    "mrr": _RANKS,
    "spearman": MetricFacts(("embedding",), is_share=False),
    "perplexity": MetricFacts(("language-model",), larger_is_better=False, is_share=False),
    "cosine": MetricFacts(
        (),
        is_share=False,
        weak="large elements decide it: what is small in an output, such as class scores beside coordinates in pixels, "
        "may be ruined and does not show",
    ),
}
"""By name. Of `recall@K` any K will do: ask `metric_facts`."""
_RECALL = re.compile(r"recall@[1-9][0-9]{0,5}")


def metric_facts(name: str) -> MetricFacts | None:
    """Return the facts of a built-in metric; None where no built-in one has that name."""
    return _RANKS if _RECALL.fullmatch(name) else METRIC_FACTS.get(name)


def default_metric(task: Task | None) -> str:
    """Return the metric that is taken where none is named; `top1` where the task is not known."""
    for mine_first in (True, False):
        for name, facts in METRIC_FACTS.items():
            if task in (facts.tasks[:1] if mine_first else facts.tasks):
                return name
    return "top1"


def is_share_metric(name: str) -> bool:
    """Return whether the values of a metric lie in [0, 1]; of a user's own that is not known."""
    facts = metric_facts(name)
    return facts is not None and facts.is_share


def reads_scores(name: str | None) -> bool:
    """Return whether naming this metric says that an output holds class scores."""
    facts = metric_facts(name) if name is not None else None
    return facts is not None and facts.reads_scores
