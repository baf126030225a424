"""The smoke test without a laptop: a folder for a USB stick that runs on the board itself, and the result it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import math
import os
import shutil
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from edgedeploy.deploy.preflight import check_manifest
from edgedeploy.deploy.releases import release_id
from edgedeploy.deploy.transfer.blobs import Blob, blobs
from edgedeploy.foundation.errors import IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import read_chunks, unreadable, unwritable
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import JSON_RESULT, read_file
from edgedeploy.runner import smoke_script
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle
from edgedeploy.values.smoke import Smoke
from edgedeploy.workflows.smoke.smoke import KEYS, SCHEMA, SECONDS, passes

SCRIPT, FACTS, SUMS, CONTENTS = "smoke", "facts", "SHA256SUMS", "bundle"
_OURS = frozenset({SCRIPT, FACTS, SUMS, CONTENTS})
_RESULT_LIMIT_BYTES = 1 << 20


class Kit(Struct, frozen=True, kw_only=True):
    """A kit that was written."""

    path: str
    release: str
    """Name and ID of what is in it."""
    files: int
    size_bytes: int


def write_kit(bundle: Bundle, out: Path, *, seconds: float = SECONDS, progress: Progress = SILENT) -> Kit:
    """Write a folder whose `smoke` a board's shell runs: `sh smoke`.

    Args:
        out: is made; a kit that is there is replaced, and the results in it stay.
        seconds: how long it measures.

    Raises:
        InvalidFileError: there are other things in `out`.
        IntegrityError: a file of the bundle is not what its manifest says.
        UnsupportedError: two files have names that a stick's file system takes for one.
        HostError: it cannot be written.
    """
    manifest = bundle.manifest
    check_manifest(manifest)
    _check_names([entry.path for entry in manifest.files])
    _check_replaceable(out)
    contents = blobs(bundle)
    files = {entry.path: entry.sha256 for entry in manifest.files} | {MANIFEST_NAME: bundle.sha256}
    script = smoke_script()
    facts = _facts(bundle, seconds)
    progress.step(f"writing {out}")
    executable = {entry.path for entry in manifest.files if entry.executable}
    try:
        if (out / CONTENTS).is_dir():
            shutil.rmtree(out / CONTENTS)
        out.mkdir(parents=True, exist_ok=True)
        sums = []
        for done, (path, sha256) in enumerate(sorted(files.items()), start=1):
            place = out / CONTENTS / path
            place.parent.mkdir(parents=True, exist_ok=True)
            _copy(contents[sha256], sha256, place)
            if path in executable:
                _allow_starting(place)
            sums.append((sha256, f"{CONTENTS}/{path}"))
            progress.advance(done, len(files), "files")
        for name, content in ((FACTS, facts), (SCRIPT, script)):
            (out / name).write_bytes(content)
            sums.append((hashlib.sha256(content).hexdigest(), name))
        _allow_starting(out / SCRIPT)
        (out / SUMS).write_bytes("".join(f"{sha256}  {name}\n" for sha256, name in sums).encode())
        # Sticks are pulled out early.
        os.sync()
    except OSError as error:
        raise unwritable(out, error) from error
    size_bytes = bundle.size_bytes + len(script) + len(facts) + (out / SUMS).stat().st_size
    release = f"{manifest.name} {release_id(manifest.version, bundle.sha256)}"
    return Kit(path=str(out), release=release, files=len(sums) + 1, size_bytes=size_bytes)


def read_result(path: Path) -> Smoke:
    """What a kit left on a board.

    Raises:
        InvalidFileError: it cannot be read, is none, is of another version, or contradicts itself.
    """
    try:
        content = read_file(path, JSON_RESULT)
    except OSError as error:
        raise unreadable(path, error) from error
    hint = "name the result-HOST-DATE.json that the kit wrote"
    try:
        found = msgspec.json.decode(content, type=Smoke)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path} is not a smoke test's result", why=str(error), hint=hint) from error
    if found.schema != SCHEMA:
        raise InvalidFileError(f"{path} has schema {found.schema}; this edgedeploy reads {SCHEMA}")
    if tuple(line.key for line in found.lines) != KEYS or found.passed != passes(found.lines):
        raise InvalidFileError(f"{path} contradicts itself", why="its lines do not make its verdict", hint=hint)
    return found


def _facts(bundle: Bundle, seconds: float) -> bytes:
    """A word and a value to a line; `smoke.sh` says which."""
    manifest = bundle.manifest
    weights = next((entry.size_bytes for entry in manifest.files if entry.path == manifest.model_file), 0)
    facts: list[tuple[str, object]] = [
        ("schema", SCHEMA),
        ("edgedeploy", importlib.metadata.version("edgedeploy")),
        ("name", manifest.name),
        ("id", release_id(manifest.version, bundle.sha256)),
        ("target", manifest.target),
        ("architecture", manifest.architecture),
        ("backend", manifest.runtime.backend),
        ("python", manifest.runtime.python or ""),
        ("runner", manifest.runner),
        ("golden_samples", manifest.golden_samples),
        ("size_kib", math.ceil(bundle.size_bytes / 1024)),
        ("needs_kib", math.ceil(max(manifest.needs.memory_bytes or 0, weights) / 1024)),
        # The manifest, these facts and the script are listed too.
        ("files", len(manifest.files) + 3),
        ("made_at", int(time.time())),
        ("seconds", f"{seconds:g}"),
        *(("executable", entry.path) for entry in manifest.files if entry.executable),
    ]
    for key, value in facts:
        if not str(value).isprintable():
            raise IntegrityError(f"{key} {value!r} of {bundle.path} is not printable")
    return "".join(f"{key} {value}\n" for key, value in facts).encode()


def _check_names(paths: list[str]) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise UnsupportedError(
                f"{other} and {path} have one name on a stick",
                why="FAT does not tell capital letters from small ones",
                hint="push it over SSH",
            )


def _check_replaceable(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InvalidFileError(f"{out} exists and is not a folder", hint="name another folder with --kit")
    if not out.is_dir():
        return
    try:
        names = sorted(path.name for path in out.iterdir())
    except OSError as error:
        raise unreadable(out, error) from error
    foreign = [name for name in names if name not in _OURS and not name.startswith("result-")]
    if foreign or (CONTENTS in names and not (out / CONTENTS / MANIFEST_NAME).is_file()):
        raise InvalidFileError(
            f"{out} holds other things than a kit, so nothing is written there",
            why=f"it holds {foreign[0] if foreign else CONTENTS}",
            hint=f"name a folder of its own: --kit {out / 'smoke-test'}",
        )


def _copy(blob: Blob, sha256: str, place: Path) -> None:
    digest = hashlib.sha256()
    with place.open("wb") as file:
        for chunk in read_chunks(blob.path, offset=blob.offset or 0, size_bytes=blob.size_bytes):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise IntegrityError(f"{blob.path} changed since it was opened", hint="run the command again")


def _allow_starting(path: Path) -> None:
    # FAT has no such bit; the script copes with that.
    with contextlib.suppress(OSError):
        path.chmod(0o755)
