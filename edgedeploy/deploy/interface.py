"""Whether a bundle is of the model that a device knows by its name: by what the two take and give."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from edgedeploy.deploy.releases import Listing
from edgedeploy.deploy.request import PushRequest
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Manifest, Release
from edgedeploy.values.model import TensorFacts

_SHOWN = 3


def require_same_model(request: PushRequest, listing: Listing, device: str) -> None:
    """Refuse a bundle that takes or gives other tensors than the releases of its name: an application feeds these.

    It is the same model where inputs and outputs have the same names, types and shapes (an extent that one of the two
    leaves open fits any), where both were made from the same file, or where a contract names the model.

    Raises:
        DeviceError: it is another model, and the request does not say that this is meant.
    """
    manifest = request.manifest
    known = _known_by(request.name, listing)
    if known is None or request.new_interface or manifest.contract is not None:
        return
    if _files(known.manifest) & _files(manifest):
        return
    # Every model has outputs: where none are named, nothing is known of them.
    if not known.manifest.model.outputs or not manifest.model.outputs:
        return
    found = [
        *_differences("input", known.manifest.model.inputs, manifest.model.inputs),
        *_differences("output", known.manifest.model.outputs, manifest.model.outputs),
    ]
    if found:
        raise DeviceError(
            f"{device} has another model of the name {request.name!r}: {known.id} takes or gives other tensors",
            why="; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""),
            hint="compile this one under a name of its own (--name NAME), or, where it is to replace the other: "
            f"edgedeploy push {shlex.quote(str(request.bundle.path))} --to {device} --new-interface",
        )


def _known_by(name: str, listing: Listing) -> Release | None:
    """The release that applications use: the current one, else any that was."""
    releases = [
        release
        for release in listing.releases
        if release.name == name and (release.current or f"{name}/{release.id}" not in listing.unconfirmed)
    ]
    return next((release for release in releases if release.current), releases[0] if releases else None)


def _files(manifest: Manifest) -> set[str]:
    """The SHA-256 of the model, and of the one that it was made from."""
    return {manifest.model.sha256} | ({manifest.source.sha256} if manifest.source is not None else set())


def _differences(side: str, there: Sequence[TensorFacts], here: Sequence[TensorFacts]) -> Iterator[str]:
    known, new = ({tensor.name: tensor for tensor in tensors} for tensors in (there, here))
    for name in sorted(known.keys() - new.keys()):
        yield f"{side} {name!r} is missing in the bundle"
    for name, tensor in new.items():
        if name not in known:
            yield f"{side} {name!r} is new"
        elif not _fits(known[name], tensor):
            yield f"{side} {name!r} is {_words(known[name])} there, and {_words(tensor)} in the bundle"


def _fits(one: TensorFacts, other: TensorFacts) -> bool:
    if one.dtype != other.dtype:
        return False
    # A model that says nothing of an output's shape has none in its facts.
    if not one.shape or not other.shape:
        return True
    return len(one.shape) == len(other.shape) and all(
        left == right or isinstance(left, str) or isinstance(right, str)
        for left, right in zip(one.shape, other.shape, strict=True)
    )


def _words(tensor: TensorFacts) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"
