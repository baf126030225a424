"""`.npz` files, read in bounded memory and written so that the same arrays give the same bytes.

An `.npz` is a zip archive with one `.npy` per array
(https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). `numpy.load` reads a member whole; here its
header is read first and its data in slices along the first axis. Nothing is ever unpickled. The files come from
strangers: a header that lies, a damaged archive and a member that inflates without end are errors, not crashes.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import open_file
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.inference.text import as_fixed_width, is_text

_HEADER_LIMIT_BYTES = 10_000
"""What numpy itself accepts; a header of numbers and strings needs about a hundred."""
_READ_BYTES = 1 << 20
SLICE_LIMIT_BYTES = 1 << 31
"""Of what is in memory at once. 2 GB are no feed for an edge device, and a small file can inflate to them."""
_MOST_ARRAYS = 10_000
"""One for each input of a model, and the labels."""
_DIRECTORY_LIMIT_BYTES = 16 << 20
"""Of an archive's list of members, some 50 bytes each; it is read at once, before anything is known of the file."""
_FREE_GROWTH_BYTES, _MOST_GROWTH = 1_000_000_000, 500
"""Deflate shrinks at most 1032-fold (https://zlib.net/zlib_tech.html), which is zeros only; what grows so much to more
than 1 GB was made to waste time."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip archive can name."""

# What a member of a zip archive raises when its bytes are not what the archive says.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, ValueError)


class ArrayHeader(Struct, frozen=True):
    """What the `.npy` header of an array says of it."""

    dtype: np.dtype
    shape: tuple[int, ...]


class _BoundedReads(io.BufferedReader):
    """A file of which no more is read at once than the largest list of members takes."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file.detach())

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        if size > _DIRECTORY_LIMIT_BYTES:
            raise ValueError(f"its list of arrays has more than {_DIRECTORY_LIMIT_BYTES:,} bytes")
        return super().read(size)


class NpzReader:
    """An open `.npz`. A context manager."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InvalidFileError: the file is missing, unreadable, or no `.npz`.
            DatasetError: an array in it is not one that can be streamed.
        """
        self.path = path
        try:
            self._file = _BoundedReads(open_file(path))
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            self._archive = zipfile.ZipFile(self._file)
            self._members = self._named_members()
            self.headers = {name: self._read_header(name) for name in self._members}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            self._file.close()
            raise InvalidFileError(
                f"{path} is not an .npz file", why=str(error), hint="write it with numpy.savez_compressed"
            ) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> NpzReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._archive.close()
        self._file.close()

    def whole(self, name: str) -> np.ndarray:
        """Return an array whole, with its own shape and dtype in the machine's byte order.

        Raises:
            DatasetError: the data is shorter than the header says, or damaged.
        """
        header = self.headers[name]
        with self._data(name) as data:
            return self._read(name, data, header.shape)

    def slices(self, name: str, size: int) -> Iterator[np.ndarray]:
        """Yield consecutive slices of `size` along the first axis; the last one may be shorter.

        Raises:
            DatasetError: the data is shorter than the header says, or damaged.
        """
        count, *rest = self.headers[name].shape
        with self._data(name) as data:
            for start in range(0, count, size):
                yield self._read(name, data, (min(size, count - start), *rest))

    def _named_members(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        if len(self._archive.infolist()) > _MOST_ARRAYS:
            raise DatasetError(
                f"{self.path} holds {len(self._archive.infolist()):,} arrays", why=f"at most {_MOST_ARRAYS:,} are read"
            )
        for member in self._archive.infolist():
            name = member.filename.removesuffix(".npy")
            if not member.filename.endswith(".npy") or member.is_dir():
                raise DatasetError(
                    f"{self.path} holds {member.filename!r}, which is not an array",
                    hint="write the file with numpy.savez_compressed",
                )
            if name in members:
                raise DatasetError(f"{self.path} holds the array {name!r} twice")
            members[name] = member
        return members

    def _read_header(self, name: str) -> ArrayHeader:
        with self._data(name, skip_header=False) as data:
            try:
                shape, fortran_order, dtype = _parse_header(data)
            except Exception as error:
                # numpy's parser raises what `tokenize` and `ast` raise on rubbish: half a dozen kinds of error.
                raise self._damaged(name, f"its header cannot be read: {error}") from error
            header_bytes = data.tell()
        if dtype.hasobject:
            raise DatasetError(
                f"{self.path}: array {name!r} holds Python objects",
                why="reading them means running code from the file",
                hint=f"save text with {name}.astype(str), and numbers with a dtype: {name}.astype(numpy.float32)",
            )
        if dtype.kind not in "biufcUS" or dtype.itemsize == 0:
            raise DatasetError(
                f"{self.path}: array {name!r} has dtype {dtype}, expected numbers or text",
                hint=_instead_of(name, dtype),
            )
        if any(extent < 0 for extent in shape):
            raise self._damaged(name, f"its header says shape {shape}")
        if fortran_order and len(shape) > 1:
            raise DatasetError(
                f"{self.path}: array {name!r} is stored in Fortran order, so its samples are not contiguous",
                hint=f"save numpy.ascontiguousarray({name})",
            )
        expected = header_bytes + math.prod(shape) * dtype.itemsize
        found = self._members[name].file_size
        if found != expected:
            raise self._damaged(name, f"shape {shape} of {dtype} takes {expected:,} bytes, found {found:,}")
        if found > _FREE_GROWTH_BYTES and found > _MOST_GROWTH * self._members[name].compress_size:
            raise DatasetError(
                f"{self.path}: array {name!r} inflates to {bytes_in_words(found)}",
                why=f"that is over {_MOST_GROWTH} times what is stored, which no data does",
                hint="write the file anew from the original data",
            )
        return ArrayHeader(dtype, shape)

    @contextlib.contextmanager
    def _data(self, name: str, *, skip_header: bool = True) -> Iterator[IO[bytes]]:
        try:
            data = self._archive.open(self._members[name])
        except _DAMAGE as error:
            raise self._damaged(name, str(error)) from error
        with data:
            if skip_header:
                _parse_header(data)
            yield data

    def _read(self, name: str, data: IO[bytes], shape: tuple[int, ...]) -> np.ndarray:
        dtype = self.headers[name].dtype
        wanted = math.prod(shape) * dtype.itemsize
        if wanted > SLICE_LIMIT_BYTES:
            raise DatasetError(
                f"{self.path}: {shape} of {dtype} from array {name!r} takes {wanted:,} bytes at once",
                why="at most 2 GB are read at once",
                hint="make the samples smaller",
            )
        content = bytearray()
        try:
            # In pieces, so that memory grows with what is there and not with what the header promises.
            while len(content) < wanted and (piece := data.read(min(wanted - len(content), _READ_BYTES))):
                content += piece
        except _DAMAGE as error:
            raise self._damaged(name, str(error)) from error
        if len(content) < wanted:
            raise self._damaged(name, "it ends before its header says so")
        return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)

    def _damaged(self, name: str, why: str) -> DatasetError:
        return DatasetError(f"{self.path}: array {name!r} is damaged", why=why, hint="write the file again")


def _instead_of(name: str, dtype: np.dtype) -> str:
    """Return how to save an array of a type that is no number and no text."""
    if dtype.kind in "Mm":
        return f"save {name}.astype(numpy.int64), in the unit that the model was trained with"
    if dtype.names:
        return f"save each field as an array of its own: {name}[{dtype.names[0]!r}]"
    return "save it as an array of numbers or text"


def _parse_header(data: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(data)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version}, expected (1, 0) or (2, 0)")
    # The length is looked at before numpy sees it: version 2 can ask for 4 GiB.
    form = "<H" if version == (1, 0) else "<I"
    length = data.read(struct.calcsize(form))
    (size,) = struct.unpack(form, length)
    if size > _HEADER_LIMIT_BYTES:
        raise ValueError(f"it is {size:,} bytes long, expected at most {_HEADER_LIMIT_BYTES:,}")
    header = io.BytesIO(length + data.read(size))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(header)
    return shape, fortran_order, dtype


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write arrays as an `.npz` whose bytes depend on nothing but them.

    Members are in the order given, dated 1980-01-01, and stored, because what deflate makes of them varies with the
    version of zlib. Text (`inference.text`) is written as `<U`.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            content = io.BytesIO()
            written = as_fixed_width(array) if is_text(array) else np.asanyarray(array, order="C")
            np.lib.format.write_array(content, written, allow_pickle=False)
            archive.writestr(member, content.getbuffer())
    return buffer.getvalue()
