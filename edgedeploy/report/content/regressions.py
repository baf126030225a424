"""Which samples and classes broke, in words and rows that the terminal, Markdown and the page share."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.foundation.sanitize import one_line
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import Accuracy
from edgedeploy.values.quality import Broken, ByClass, ClassFigure
from edgedeploy.values.shipment import Shipment

_LONGEST_NAME = 40
HEAD = ("class", "samples", "right before", "right after", "lost", "same answer")


class Breakage(Struct, frozen=True, kw_only=True):
    """One comparison of answers to the same samples."""

    before: str
    """What the reference is: `"the float model"`."""
    after: str
    classes: ByClass | None
    broken: Broken

    @property
    def between(self) -> str:
        """`"from the float model to the optimized one, in exact arithmetic"`."""
        return f"from {self.before} to {self.after}"


def breakages(shipment: Shipment) -> tuple[Breakage, ...]:
    """The optimized model against the float model as it was judged, then the device against the host."""
    accuracy = shipment.measurement.accuracy if shipment.measurement else None
    found = (optimized_breakage(shipment.evidence), device_breakage(accuracy) if accuracy else None)
    return tuple(each for each in found if each is not None)


def optimized_breakage(evidence: Evidence) -> Breakage | None:
    """Compare the execution that is judged; None without one, and where there are no labels."""
    judged = evidence.executions[0] if evidence.executions else None
    if judged is None or judged.broken is None:
        return None
    after = "the optimized one, in exact arithmetic"
    return Breakage(before="the float model", after=after, classes=judged.classes, broken=judged.broken)


def device_breakage(accuracy: Accuracy) -> Breakage | None:
    """Compare the device with the host; None where there are no labels."""
    if accuracy.broken is None:
        return None
    return Breakage(before="the host", after="the device", classes=accuracy.classes, broken=accuracy.broken)


def worse_in_words(breakage: Breakage) -> str:
    """`"Worse answers from the host to the device: 2 samples: 4, 17 (places in the dataset, from 0)"`."""
    places = " (places in the dataset, from 0)" if breakage.broken.count else ""
    return f"Worse answers {breakage.between}: {broken_in_words(breakage.broken)}{places}"


def classes_in_words(classes: ByClass) -> str:
    """What the rows of `changed_classes` are: `"Worst of 62 classes"`."""
    return f"Worst of {classes.count:,} classes"


def broken_in_words(broken: Broken) -> str:
    """`"none"`, `"2 samples: 4, 17"` or `"45 samples, the first 20 of them: 5, 6, …"`; counted from 0."""
    if not broken.count:
        return "none"
    places = ", ".join(str(place) for place in broken.first)
    of = "1 sample" if broken.count == 1 else f"{broken.count:,} samples"
    first = f", the first {len(broken.first)} of them" if broken.count > len(broken.first) else ""
    return f"{of}{first}: {places}"


def changed_classes(classes: ByClass | None) -> tuple[ClassFigure, ...]:
    """Return those of the worst classes where some answer changed."""
    return tuple(figure for figure in classes.worst if figure.same < figure.samples) if classes else ()


def class_row(figure: ClassFigure) -> tuple[str, ...]:
    """Return a class's cells under `HEAD`."""
    lost = figure.reference_right - figure.right
    return (
        f"{figure.label} {one_line(figure.name, limit=_LONGEST_NAME)}".rstrip(),
        f"{figure.samples:,}",
        _of(figure.reference_right, figure.samples),
        _of(figure.right, figure.samples),
        f"{lost:,}".replace("-", "−"),
        _of(figure.same, figure.samples),
    )


def _of(count: int, samples: int) -> str:
    return f"{count:,} ({count / samples:.1%})" if samples else f"{count:,}"
