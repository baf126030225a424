"""A bundle's contents on this machine, each once, by the SHA-256 that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from edgedeploy.bundle.archive import offsets
from edgedeploy.foundation.errors import IntegrityError
from edgedeploy.foundation.files import read_chunks
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle


class Blob(Struct, frozen=True):
    """The content of one file."""

    path: Path
    """On this machine: of the file, or of the bundle in one file that it lies in."""
    size_bytes: int
    offset: int | None = None
    """Where it begins in `path`; None when it is all of that file."""

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Read its bytes from `start` to `end`; without an end, of a file of its own all that there is."""
        if end is None and self.offset is None:
            return read_chunks(self.path, offset=start)
        size_bytes = (self.size_bytes if end is None else end) - start
        return read_chunks(self.path, offset=(self.offset or 0) + start, size_bytes=size_bytes)

    def read_rest(self, start: int = 0) -> Iterator[bytes]:
        """Read its bytes from `start` to its end.

        Raises:
            IntegrityError: the file has shrunk or grown since its bundle was compiled.
        """
        size_bytes = start
        for chunk in self.read(start):
            size_bytes += len(chunk)
            yield chunk
        if size_bytes != self.size_bytes:
            raise IntegrityError(
                f"{self.path} has {size_bytes} bytes, and its manifest says {self.size_bytes}",
                hint="compile the bundle again",
            )

    def prefix_sha256(self, size_bytes: int) -> str:
        """Return the SHA-256 of its first `size_bytes` bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for chunk in self.read(0, size_bytes):
            digest.update(chunk)
        return digest.hexdigest()


def blobs(bundle: Bundle) -> dict[str, Blob]:
    """Find the bundle's contents by SHA-256, the manifest's own included."""
    listed = {entry.path: (entry.sha256, entry.size_bytes) for entry in bundle.manifest.files}
    manifest_bytes = bundle.size_bytes - sum(size_bytes for _, size_bytes in listed.values())
    listed[MANIFEST_NAME] = (bundle.sha256, manifest_bytes)
    if bundle.path.is_file():
        begins = offsets(bundle.manifest, manifest_bytes)
        return {sha256: Blob(bundle.path, size, begins[path]) for path, (sha256, size) in listed.items()}
    return {sha256: Blob(bundle.path / path, size) for path, (sha256, size) in listed.items()}
