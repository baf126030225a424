"""Reading an `.npz` file a slice at a time, so that a large one needs no memory for the whole."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from msgspec import Struct
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import unreadable

Array = NDArray[Any]


class ArrayHeader(Struct, frozen=True):
    """What stands at the head of one array in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool


class NpzFile:
    """An `.npz` file whose arrays are described at once and read in slices along the first axis.

    Raises:
        DatasetError: it is no `.npz` file, or holds something that is not a plain array (pickled objects are refused:
            reading them would run code from the file).
        InvalidFileError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise unreadable(path, error) from error
        except zipfile.BadZipFile as error:
            raise DatasetError(
                f"{path} is not an .npz file", why=str(error), mend="write it with numpy.savez or savez_compressed"
            ) from error
        self.headers: dict[str, ArrayHeader] = {}
        try:
            for entry in self._zip.infolist():
                name = entry.filename.removesuffix(".npy")
                with self._open(entry.filename) as member:
                    self.headers[name] = self._header(name, member, entry.file_size)
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._zip.close()

    def read(self, name: str) -> Array:
        """A whole array."""
        header = self.headers[name]
        with self._open(self._member_name(name)) as member:
            self._header(name, member, None)
            flat = self._elements(member, name, math.prod(header.shape))
        return flat.reshape(header.shape, order="F" if header.fortran_order else "C")

    def slices(self, name: str) -> Iterator[Array]:
        """The array's slices along its first axis, one after the other, in memory for one."""
        header = self.headers[name]
        if header.fortran_order and len(header.shape) > 1:
            # Its slices are strewn over the whole member: there is no reading it in order.
            yield from self.read(name)
            return
        count = math.prod(header.shape[1:])
        with self._open(self._member_name(name)) as member:
            self._header(name, member, None)
            for _ in range(header.shape[0]):
                yield self._elements(member, name, count).reshape(header.shape[1:])

    def _member_name(self, name: str) -> str:
        names = self._zip.namelist()
        return f"{name}.npy" if f"{name}.npy" in names else name

    def _open(self, member: str) -> IO[bytes]:
        try:
            return self._zip.open(member)
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{self.path}: {member} cannot be read", why=str(error)) from error

    def _header(self, name: str, member: IO[bytes], size_bytes: int | None) -> ArrayHeader:
        try:
            version = npy_format.read_magic(member)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran_order, dtype = read(member)
        except Exception as error:  # a hostile header fails in many ways, none of which is ours
            raise DatasetError(f"{self.path}: {name!r} is not a NumPy array", why=str(error)) from error
        if dtype.hasobject:
            raise DatasetError(
                f"{self.path}: {name!r} holds Python objects, which are never read from a file",
                mend="save it as a plain numeric array",
            )
        data_bytes = math.prod(shape) * dtype.itemsize
        if any(extent < 0 for extent in shape) or (size_bytes is not None and data_bytes > size_bytes):
            raise DatasetError(
                f"{self.path}: {name!r} is truncated",
                why=f"shape {shape} of {dtype} needs {data_bytes} bytes, the file has {size_bytes}",
            )
        return ArrayHeader(name, tuple(shape), dtype, fortran_order)

    def _elements(self, member: IO[bytes], name: str, count: int) -> Array:
        dtype = self.headers[name].dtype
        try:
            content = member.read(count * dtype.itemsize)
        except Exception as error:  # zlib.error, BadZipFile (checksum), EOFError, OSError
            raise DatasetError(f"{self.path}: {name!r} is damaged", why=str(error)) from error
        if len(content) != count * dtype.itemsize:
            raise DatasetError(f"{self.path}: {name!r} ends too early")
        # A copy: arrays over bytes are read-only, and runtimes want native byte order.
        return np.frombuffer(content, dtype=dtype, count=count).astype(dtype.newbyteorder("="), copy=True)
