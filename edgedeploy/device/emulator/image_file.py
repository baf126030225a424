"""A board's image as one file, to be built once and used on many machines: `edgedeploy board export` and `import`.

The file is gzip's. Unpacked, its first line is a JSON object, the header, that lists the contents with their sizes and
SHA-256; they follow one after the other, without anything between them or behind. `zcat FILE | head -1` shows the
header. Nothing in the file says where anything is to be written: there are four contents, whose names are known.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgedeploy.foundation.errors import IntegrityError, InvalidFileError
from edgedeploy.foundation.files import read_chunks, replacing_file, sha256_file, unreadable, unwritable
from edgedeploy.foundation.reading import BOARD_FILE, open_file

IMAGE_FILES = ("kernel", "initramfs", "packages.json", "disk.ext4")
"""What an image is, in the order in which the file has it."""

_HEADER_LIMIT_BYTES = 64 << 10
_DISK_LIMIT_BYTES = 8 << 30
"""An image's disk is as small as may be: 0.2 GB."""
_LEVEL = 6
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 4096
"""Of the disk's file system."""

_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class ImageEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the contents."""

    name: str
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: _Sha256


class ImageHeader(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an image is, as its file says."""

    format: Literal["edgedeploy-board-image-1"]
    image: _Sha256
    """Hash of what it was made from, as `image_digest` says; the image's folder has its beginning as its name."""
    edgedeploy: str
    """Version that has built it."""
    os: str
    """Code name of its release."""
    architecture: str
    """Debian's name of that of its programs."""
    kernel: str
    """The kernel's package."""
    minimal: bool
    files: tuple[ImageEntry, ...]


def write_image_file(
    folder: Path, path: Path, *, image: str, version: str, os: str, architecture: str, kernel: str, minimal: bool
) -> ImageHeader:
    """Write the image in `folder` to the file `path`, which is replaced whole or not at all.

    The same image gives the same bytes, as far as zlib's version does.

    Raises:
        HostError: the file cannot be written.
        InvalidFileError: the image cannot be read.
    """
    try:
        entries = tuple(
            ImageEntry(name=name, size_bytes=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
            for name in IMAGE_FILES
        )
    except OSError as error:
        raise unreadable(folder, error) from error
    header = ImageHeader(
        format="edgedeploy-board-image-1",
        image=image,
        edgedeploy=version,
        os=os,
        architecture=architecture,
        kernel=kernel,
        minimal=minimal,
        files=entries,
    )
    with replacing_file(path) as temporary:
        try:
            with (
                temporary.open("wb") as raw,
                gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed,
            ):
                packed.write(msgspec.json.encode(header) + b"\n")
                for name in IMAGE_FILES:
                    for chunk in read_chunks(folder / name):
                        packed.write(chunk)
        except OSError as error:
            raise unwritable(path, error) from error
    return header


def read_image_header(path: Path) -> ImageHeader:
    """Read what image is in a file.

    Raises:
        InvalidFileError: it cannot be read, or is none that `write_image_file` wrote.
    """
    try:
        with open_file(path) as raw, gzip.GzipFile(fileobj=raw) as packed:
            return _header(packed, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _no_image(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def read_image_file(path: Path, folder: Path) -> ImageHeader:
    """Unpack an image into the empty folder `folder`, and check every byte of it. Its disk stays sparse.

    Raises:
        InvalidFileError: the file cannot be read, or is none that `write_image_file` wrote.
        IntegrityError: something of it is missing, too much or another than its header says.
        HostError: `folder` cannot be written.
    """
    try:
        with open_file(path) as raw, gzip.GzipFile(fileobj=raw) as packed:
            header = _header(packed, path)
            for entry in header.files:
                _unpack(packed, entry, folder / entry.name, path)
            if packed.read(1):
                raise _damaged(path, "something follows its end")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return header


def _header(packed: gzip.GzipFile, path: Path) -> ImageHeader:
    line = packed.readline(_HEADER_LIMIT_BYTES)
    try:
        header = msgspec.json.decode(line, type=ImageHeader)
    except msgspec.DecodeError as error:
        raise _no_image(path, str(error)) from error
    if tuple(entry.name for entry in header.files) != IMAGE_FILES:
        raise _no_image(path, f"an image is {', '.join(IMAGE_FILES)}")
    for entry in header.files:
        limit_bytes = _DISK_LIMIT_BYTES if entry.name == "disk.ext4" else BOARD_FILE.size_bytes
        if entry.size_bytes > limit_bytes:
            raise _no_image(path, f"its {entry.name} is to have {entry.size_bytes:,} bytes")
    return header


def _unpack(packed: gzip.GzipFile, entry: ImageEntry, to: Path, path: Path) -> None:
    digest, done = hashlib.sha256(), 0
    try:
        with to.open("wb") as file:
            for chunk in _chunks(packed, entry.size_bytes):
                digest.update(chunk)
                done += len(chunk)
                _write_sparse(file, chunk)
            file.truncate(done)
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise unwritable(to, error) from error
    if done != entry.size_bytes:
        raise _damaged(path, f"it ends in the middle of its {entry.name}")
    if digest.hexdigest() != entry.sha256:
        raise _damaged(path, f"the SHA-256 of its {entry.name} is another one")


def _chunks(packed: gzip.GzipFile, size_bytes: int) -> Iterator[bytes]:
    while size_bytes and (chunk := packed.read(min(size_bytes, _CHUNK_BYTES))):
        size_bytes -= len(chunk)
        yield chunk


def _write_sparse(file: IO[bytes], chunk: bytes) -> None:
    """Write a piece, and leave holes where whole blocks are zero."""
    for at in range(0, len(chunk), _BLOCK_BYTES):
        block = chunk[at : at + _BLOCK_BYTES]
        if block.count(0) == len(block):
            file.seek(len(block), 1)
        else:
            file.write(block)


def _no_image(path: Path, why: str) -> InvalidFileError:
    return InvalidFileError(
        f"{path} is no image of a board", why=why, hint="name a file that `edgedeploy board export` wrote"
    )


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"{path} is damaged", why=why, hint="copy it again")
