"""Pack a bundle into one `.edge` file (tar), and check one against its manifest, which determines all other bytes.

The manifest comes first, then the files in the order in which it lists them, then two empty blocks: regular files with
mode 644 or 755, no owners, no times, nothing else. So the same bundle gives the same archive on every machine, any
`tar` unpacks it, and a file's content lies where the manifest says, to be read from there without unpacking anything.
It is not compressed: what a compressor writes varies with its version, and `push` compresses what it sends when that
pays.

For the same reason nothing of a stranger's archive is interpreted but the size of its manifest. What each header has to
be follows from the manifest, and it is compared, not parsed: another name, a link, a second copy, something behind the
end are all one thing, other bytes than expected.

Headers are as GNU tar writes them (https://www.gnu.org/software/tar/manual/html_node/Standard.html); a path of over 100
bytes stands in a header of type `L` before. Python's `tarfile` writes them; a test holds it to these bytes.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgedeploy.foundation.errors import IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import read_chunks, replacing_file, unreadable
from edgedeploy.foundation.reading import open_file
from edgedeploy.values.bundle import MANIFEST_NAME, FileEntry, Manifest

SUFFIX = ".edge"

_BLOCK_BYTES = tarfile.BLOCKSIZE
_SIZE_LIMIT_BYTES = 8**11 - 1
"""What eleven octal digits can say: 8 GiB."""
_END = bytes(2 * _BLOCK_BYTES)
_SIZE_FIELD = slice(124, 136)
_CHUNK_BYTES = 1 << 20


def write_edge_file(folder: Path, manifest: Manifest, content: bytes, path: Path) -> None:
    """Write a bundle that lies in a folder as one file.

    Args:
        content: of its `manifest.json`.
        path: what is there is replaced, whole or not at all.

    Raises:
        IntegrityError: a file of the folder has another size than the manifest says.
        UnsupportedError: one is over 8 GiB.
        HostError: the file cannot be written.
        InvalidFileError: a file of the folder cannot be read.
    """
    if too_large := [entry.path for entry in manifest.files if entry.size_bytes > _SIZE_LIMIT_BYTES]:
        raise UnsupportedError(f"{too_large[0]} is too large for an {SUFFIX} file", hint="write a folder: -o FOLDER")
    with replacing_file(path) as temporary, temporary.open("wb") as archive:
        archive.write(_header(MANIFEST_NAME, len(content), executable=False))
        archive.write(content + _padding(len(content)))
        for entry in manifest.files:
            archive.write(_header(entry.path, entry.size_bytes, executable=entry.executable))
            size_bytes = 0
            for chunk in read_chunks(folder / entry.path):
                size_bytes += len(chunk)
                archive.write(chunk)
            if size_bytes != entry.size_bytes:
                raise IntegrityError(f"{folder / entry.path} changed while it was packed", hint="compile again")
            archive.write(_padding(size_bytes))
        archive.write(_END)


def read_manifest(path: Path, limit_bytes: int) -> bytes:
    """Read the manifest of a bundle in one file.

    Raises:
        InvalidFileError: it cannot be read, or does not begin with a manifest of at most `limit_bytes`.
    """
    try:
        with open_file(path) as archive:
            header = archive.read(_BLOCK_BYTES)
            size_bytes = _octal(header[_SIZE_FIELD])
            if size_bytes is None or header != _header(MANIFEST_NAME, size_bytes, executable=False):
                raise InvalidFileError(
                    f"{path} is not a bundle",
                    why=f"an {SUFFIX} file begins with its {MANIFEST_NAME}",
                    hint="name what `edgedeploy compile -o` wrote",
                )
            if size_bytes > limit_bytes:
                raise InvalidFileError(f"the manifest of {path} is larger than {limit_bytes:,} bytes")
            content = archive.read(size_bytes)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) != size_bytes:
        raise InvalidFileError(f"{path} ends in the middle of its manifest", hint="copy it again")
    return content


def offsets(manifest: Manifest, manifest_bytes: int) -> dict[str, int]:
    """Find where the content of each file begins, in bytes, by its path in the bundle."""
    return {path: begin for path, begin, _ in _layout(manifest, manifest_bytes)}


def check_size(path: Path, manifest: Manifest, manifest_bytes: int) -> None:
    """Check that the file ends where its manifest says: an interrupted copy does not.

    Raises:
        IntegrityError: it does not.
        InvalidFileError: it cannot be read.
    """
    if any(entry.size_bytes > _SIZE_LIMIT_BYTES for entry in manifest.files):
        raise IntegrityError(f"{path} is not whole", why="its manifest lists a file of over 8 GiB")
    expected = _end(manifest, manifest_bytes) + len(_END)
    try:
        found = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    if found != expected:
        raise IntegrityError(
            f"{path} is not whole" if found < expected else f"{path} holds more than its manifest lists",
            why=f"it has {found:,} bytes, and its manifest says {expected:,}",
            hint="copy it again, or compile the bundle again",
        )


def verify_contents(path: Path, manifest: Manifest, content: bytes) -> None:
    """Compare every byte of the file with what the manifest says: headers, padding and end as they have to be, contents
    by SHA-256. In memory for one piece of 1 MiB.

    Raises:
        IntegrityError: a byte is another one, is missing, or is too many.
        InvalidFileError: the file cannot be read.
    """
    check_size(path, manifest, len(content))
    try:
        with open_file(path) as archive:
            _expect(archive, _header(MANIFEST_NAME, len(content), executable=False), path, MANIFEST_NAME)
            _expect(archive, content + _padding(len(content)), path, MANIFEST_NAME)
            for entry in manifest.files:
                header = _header(entry.path, entry.size_bytes, executable=entry.executable)
                _expect(archive, header, path, entry.path)
                _check_content(archive, entry, path)
                _expect(archive, _padding(entry.size_bytes), path, entry.path)
            _expect(archive, _END, path, "its end")
            if archive.read(1):
                raise _differs(path, "what follows its end")
    except OSError as error:
        raise unreadable(path, error) from error


def _layout(manifest: Manifest, manifest_bytes: int) -> Iterator[tuple[str, int, int]]:
    """Yield path, begin and end of each content in bytes, the manifest's first."""
    end = 0
    listed = ((entry.path, entry.size_bytes) for entry in manifest.files)
    for path, size_bytes in ((MANIFEST_NAME, manifest_bytes), *listed):
        begin = end + _header_bytes(path)
        yield path, begin, begin + size_bytes
        end = begin + size_bytes + -size_bytes % _BLOCK_BYTES


def _end(manifest: Manifest, manifest_bytes: int) -> int:
    *_, (_, _, end) = _layout(manifest, manifest_bytes)
    return end + -end % _BLOCK_BYTES


def _expect(archive: IO[bytes], wanted: bytes, path: Path, what: str) -> None:
    if archive.read(len(wanted)) != wanted:
        raise _differs(path, what)


def _check_content(archive: IO[bytes], entry: FileEntry, path: Path) -> None:
    digest, left = hashlib.sha256(), entry.size_bytes
    while left:
        piece = archive.read(min(left, _CHUNK_BYTES))
        if not piece:
            raise _differs(path, entry.path)
        digest.update(piece)
        left -= len(piece)
    if digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{entry.path} in {path} is not what the manifest says",
            why="its SHA-256 differs",
            hint="copy the file again, or compile the bundle again",
        )


def _differs(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not the archive that its manifest describes",
        why=f"it differs at {what}",
        hint="copy it again, or compile the bundle again",
    )


def _header_bytes(path: str) -> int:
    return len(_header(path, 0, executable=False))


def _header(path: str, size_bytes: int, *, executable: bool) -> bytes:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = size_bytes, 0o755 if executable else 0o644
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % _BLOCK_BYTES)


def _octal(field: bytes) -> int | None:
    return int(field[:11], 8) if re.fullmatch(rb"[0-7]{11}\0", field) else None
