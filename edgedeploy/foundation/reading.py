"""Read files that somebody else wrote: regular ones only, and no more of them than their kind can need.

A named pipe would wait for ever, `/dev/zero` never ends, and a file of 3 GB where a page of TOML is expected fills the
memory. All reading in edgedeploy goes through here, or says in `tests/foundation/test_reading.py` why not.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

from msgspec import Struct

from edgedeploy.foundation.units import bytes_in_words

_PIECE_BYTES = 1 << 20


class ReadLimit(Struct, frozen=True, kw_only=True):
    """How large a file of a kind may be."""

    what: str
    """The kind, with its article: `"a contract"`."""
    size_bytes: int
    reason: str
    """Why nothing of use is larger."""


TOML_TEXT = ReadLimit(
    what="a TOML file (contract, recipe or target)",
    size_bytes=1_000_000,
    reason="people write it by hand; the largest that edgedeploy brings has 3 kB",
)
MEASUREMENT = ReadLimit(
    what="a measurement",
    size_bytes=64_000_000,
    reason="a run of a million timed inferences takes 20 MB",
)
BASELINE = ReadLimit(
    what="a baseline", size_bytes=16_000_000, reason="one entry of some 2 kB for each model, target and kind of board"
)
EVIDENCE = ReadLimit(
    what="the evidence of an optimization",
    size_bytes=64_000_000,
    reason="some 200 bytes for each pass and layer; the largest search that was tried wrote 2 MB",
)
JSON_RESULT = ReadLimit(
    what="a result in JSON",
    size_bytes=1_000_000,
    reason="it has a fixed set of fields, and each of at most 500 characters",
)
MANIFEST = ReadLimit(
    what="a bundle's manifest", size_bytes=16_000_000, reason="some 150 bytes for each file of the bundle"
)
MODEL = ReadLimit(
    what="a model in one file",
    size_bytes=(1 << 31) - 1,
    reason="protobuf and FlatBuffers both end at 2 GB; what is larger has external data",
)
SIGNATURE = ReadLimit(what="a signature", size_bytes=64_000, reason="one with a certificate and RSA keys has some 3 kB")
SIGNERS = ReadLimit(
    what="a list of allowed signers", size_bytes=4_000_000, reason="a line of some 100 bytes for each signer"
)
KEY = ReadLimit(what="an SSH key", size_bytes=64_000, reason="RSA keys of 16,384 bits have 13 kB")
SSH_TEXT = ReadLimit(what="an SSH configuration", size_bytes=4_000_000, reason="some 100 bytes for each host")
KNOWN_HOSTS = ReadLimit(
    what="a known_hosts file", size_bytes=64_000_000, reason="some 500 bytes for each of a hundred thousand hosts"
)
APT_SOURCES = ReadLimit(what="a list of apt sources", size_bytes=4_000_000, reason="people write it by hand")
SYSTEM_TEXT = ReadLimit(
    what="a file of the kernel in /proc",
    size_bytes=16_000_000,
    reason="/proc/cpuinfo has some 1.5 kB for each processor",
)
CONSOLE = ReadLimit(
    what="a board's console log", size_bytes=64_000_000, reason="a boot that fails prints some hundred lines"
)
STATE = ReadLimit(what="a file of state", size_bytes=1_000_000, reason="edgedeploy writes it: some hundred bytes")
LOG = ReadLimit(what="a log of a build", size_bytes=64_000_000, reason="pip and uv print a line for each package")
PINNED = ReadLimit(
    what="a list of pinned packages", size_bytes=4_000_000, reason="some 3 kB of hashes for each of a hundred packages"
)
BOARD_FILE = ReadLimit(
    what="a kernel, module or archive of a board",
    size_bytes=512_000_000,
    reason="Debian's largest kernel has 40 MB, an initramfs of a distribution 100 MB",
)
GENERATED_SOURCE = ReadLimit(what="generated source code", size_bytes=64_000_000, reason="weights are not in it")
LICENCE_TEXT = ReadLimit(
    what="a text in a package", size_bytes=16_000_000, reason="the largest licence file of the runtimes has 400 kB"
)
SEARCH_JOURNAL = ReadLimit(
    what="the journal of a search", size_bytes=64_000_000, reason="some 300 bytes for each trial and layer"
)
TOKENIZER = ReadLimit(
    what="a tokenizer.json", size_bytes=128_000_000, reason="vocabularies of 260,000 pieces take some 35 MB"
)

PICTURE = ReadLimit(
    what="a picture",
    size_bytes=300_000_000,
    reason="89 million pixels, more than which are not decoded, have 270 MB where they are not compressed",
)
ANNOTATIONS = ReadLimit(
    what="a file of annotations",
    size_bytes=2_000_000_000,
    reason="the instances of COCO's 118,000 pictures have 450 MB",
)
PICTURE_LABEL = ReadLimit(
    what="the label of one picture",
    size_bytes=16_000_000,
    reason="a polygon of a thousand points has 20 kB, and a picture a few hundred objects",
)

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularFileError(OSError):
    """What has that name is a pipe, a socket or a device."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"it is {kind}", str(path))


class FileTooLargeError(OSError):
    """A file is larger than what it should be can be."""

    def __init__(self, path: Path, size_bytes: int, limit: ReadLimit) -> None:
        found, most = bytes_in_words(size_bytes), bytes_in_words(limit.size_bytes)
        super().__init__(errno.EINVAL, f"it has {found}, and {limit.what} has at most {most}", str(path))


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    `/dev/null` counts as an empty one: people name it where they have nothing to give.

    Raises:
        OSError: there is none, it cannot be read, or it is a folder. `edgedeploy.foundation.files.unreadable` turns
            all of these into the user's words.
        NotRegularFileError: it is a pipe, a socket or a device, which may never end.
    """
    # Looked at before it is opened: to open some devices does something.
    _check_kind(path, path.stat())
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_kind(path, os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: Path, limit: ReadLimit) -> bytes:
    """Read a regular file whole.

    Raises:
        OSError: as `open_file`.
        FileTooLargeError: it is larger than `limit`.
    """
    with open_file(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        content = bytearray()
        # Its size is what it says of itself: files in /proc say 0, and one that is written to grows.
        while size_bytes <= limit.size_bytes and (piece := file.read(max(_PIECE_BYTES, size_bytes - len(content)))):
            content += piece
            size_bytes = max(size_bytes, len(content))
    if size_bytes > limit.size_bytes:
        raise FileTooLargeError(path, size_bytes, limit)
    return bytes(content)


def read_start(path: Path, size_bytes: int) -> bytes:
    """Read the first bytes of a regular file, to see what it is.

    Raises:
        OSError: as `open_file`.
    """
    with open_file(path) as file:
        return file.read(size_bytes)


def read_text(path: Path, limit: ReadLimit, *, errors: str = "strict") -> str:
    """Read a regular file of text in UTF-8 whole; `\\r\\n` and `\\r` become `\\n`.

    Args:
        errors: what is done with bytes that are no UTF-8, as `bytes.decode` has it.

    Raises:
        OSError: as `read_file`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_file(path, limit).decode(errors=errors).replace("\r\n", "\n").replace("\r", "\n")


def _check_kind(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISREG(status.st_mode) or (stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "no file")
    raise NotRegularFileError(path, kind)
