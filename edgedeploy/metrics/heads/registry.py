"""Which heads there are: the modules of `edgedeploy.metrics.heads.kinds`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgedeploy.foundation.callables import is_object_name, load_callable
from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.foundation.plugins import declared
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.foundation.toml_file import load_toml
from edgedeploy.metrics.heads.decoder import Decoder, HeadKind
from edgedeploy.metrics.heads.own import OwnDecoder
from edgedeploy.values.data import Task
from edgedeploy.values.head import Head

_PACKAGE = "edgedeploy.metrics.heads.kinds"


def head_kinds() -> dict[str, HeadKind]:
    """Return every kind of head, by its name."""
    return {kind.name: kind for kind in declared(_PACKAGE, "HEAD")}


def head_names() -> tuple[str, ...]:
    """List the kinds of heads that edgedeploy has."""
    return tuple(head_kinds())


def find_head(head: Head, outputs: Sequence[str] = ()) -> Decoder:
    """Return what reads a model's outputs as a head declares.

    Args:
        outputs: names of the model's outputs in its order.

    Raises:
        UnknownNameError: there is no such kind, or its function cannot be imported.
        UnsupportedError: it names an output that the model does not have, or lacks something that its kind needs.
    """
    known = head_kinds()
    if head.kind in known:
        return known[head.kind].make(head, outputs)
    if is_object_name(head.kind):
        return OwnDecoder(head, outputs, load_callable(head.kind))
    raise UnknownNameError(
        f"there is no head {head.kind!r}",
        why=f"known: {', '.join(known)}, or a function of your own",
        hint=did_you_mean(head.kind, known, "choose one of them, or name a function as package.module:function"),
    )


def head_task(head: Head) -> Task | None:
    """Return what a model with this head is for; None of a user's own."""
    kind = head_kinds().get(head.kind)
    if kind is None:
        return None
    return "keypoints" if head.keypoints else kind.task


def load_head(stated: str) -> Head:
    """Return the head that a text names: a kind, or a TOML file whose keys are those of the table `[head]`.

    Raises:
        InvalidFileError: it is a file, and no such table.
    """
    path = Path(stated)
    return load_toml(path, Head) if path.suffix == ".toml" else Head(kind=stated)
