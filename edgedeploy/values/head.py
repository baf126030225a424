"""What turns a model's raw outputs into answers: declared in a contract or a `data.toml`, never guessed."""

from __future__ import annotations

from msgspec import Struct


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[head]`. Which keys a kind takes, and their defaults, is in `edgedeploy.metrics.heads`."""

    kind: str
    """A name that `edgedeploy.metrics.heads` knows, e.g. `"yolov8"`, or `package.module:function`."""
    classes: int | None = None
    """How many there are; None: what is left of the output's channels."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs that it reads, in the kind's order; empty: the model's own order."""
    score_min: float | None = None
    """Detections under it are dropped; None: the kind's usual one."""
    iou_max: float | None = None
    """Of two boxes of a class that overlap more, the lower score goes; None: the kind's usual one."""
    most: int | None = None
    """Detections that are kept for a picture; None: the kind's usual number."""
    strides: tuple[int, ...] = ()
    anchors: tuple[tuple[float, ...], ...] = ()
    """Of kinds with anchors; for each stride its anchors, width and height in turn, in pixels of the input."""
    keypoints: int | None = None
    """Points of an object, of a head for poses."""
    options: dict[str, float | int | bool | str] = {}
    """What only one kind has."""
