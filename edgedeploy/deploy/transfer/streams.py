"""The streams that scripts on a device read: tar archives of contents and of links, and lines of copies."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping

from edgedeploy.deploy.transfer.blobs import Blob

_BLOCK_BYTES = tarfile.BLOCKSIZE
_END_OF_ARCHIVE = bytes(2 * _BLOCK_BYTES)


def tar_of_blobs(blobs: Mapping[str, Blob]) -> Iterator[bytes]:
    """Write a tar archive of contents, each under its SHA-256. For `receiving.STORE`.

    Raises:
        IntegrityError: a file is not as long as its manifest says.
    """
    for sha256, blob in blobs.items():
        entry = tarfile.TarInfo(sha256)
        entry.size, entry.mode = blob.size_bytes, 0o444
        yield entry.tobuf(tarfile.GNU_FORMAT)
        yield from blob.read_rest()
        yield bytes(-blob.size_bytes % _BLOCK_BYTES)
    yield _END_OF_ARCHIVE


def tar_of_blobs_bytes(blobs: Iterable[Blob]) -> int:
    """Count the bytes that `tar_of_blobs` will write."""
    contents = sum(-(-blob.size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES + _BLOCK_BYTES for blob in blobs)
    return contents + len(_END_OF_ARCHIVE)


def tar_of_links(prefix: str, links: Mapping[str, str]) -> Iterator[bytes]:
    """Write a tar archive that makes a release: its folders, and a hard link to a blob for each path.

    Args:
        prefix: the release's folder, relative to the store.
        links: from a path in the release to the SHA-256 of its content.
    """
    folders = {prefix}
    for path in links:
        parts = path.split("/")[:-1]
        folders.update("/".join((prefix, *parts[:depth])) for depth in range(1, len(parts) + 1))
    for folder in sorted(folders):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        yield entry.tobuf(tarfile.GNU_FORMAT)
    for path, sha256 in sorted(links.items()):
        entry = tarfile.TarInfo(f"{prefix}/{path}")
        entry.type, entry.linkname = tarfile.LNKTYPE, f"blobs/sha256/{sha256}"
        yield entry.tobuf(tarfile.GNU_FORMAT)
    yield _END_OF_ARCHIVE


def lines_of_copies(contents: Mapping[str, str]) -> bytes:
    """Write what makes a release where there are no hard links: a SHA-256 and a path on each line."""
    return "".join(f"{sha256} {path}\n" for path, sha256 in sorted(contents.items())).encode()
