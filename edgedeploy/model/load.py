"""Open a model file: is it ONNX, is it whole, where does its external data lie."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import MODEL, open_file, read_file
from edgedeploy.inference.formats import format_of
from edgedeploy.model.foreign import LFS_POINTER, not_a_folder, not_a_model, refuse_by_beginning
from edgedeploy.model.graphs import tensors
from edgedeploy.model.sparse import densify, has_sparse
from edgedeploy.model.zipmap import answer_tables

PROTOBUF_LIMIT_BYTES = (1 << 31) - 1
"""The largest message that protobuf can write or read: https://protobuf.dev/programming-guides/proto-limits/"""

_BEGINNING_BYTES = 4096


def is_tflite(path: Path) -> bool:
    """Return whether a file says of itself that it is TensorFlow Lite; a file that cannot be read does not."""
    try:
        with open_file(path) as file:
            return format_of(file.read(8)) == "tflite"
    except OSError:
        return False


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a model without its external data; outputs of maps become the tables that they are made of.

    Raises:
        InvalidFileError: the file is missing, unreadable, or not a whole ONNX model.
        UnsupportedError: the file is TensorFlow Lite, or larger than protobuf can read.
    """
    return read_with_notes(path)[0]


def read_with_notes(path: Path) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Read a model as `read_onnx` does, and say what in it is not as in the file.

    Raises:
        InvalidFileError, UnsupportedError: as `read_onnx`.
    """
    model = _parsed(path)
    return model, answer_tables(model)


def _parsed(path: Path) -> onnx.ModelProto:
    try:
        with open_file(path) as file:
            beginning = file.read(_BEGINNING_BYTES)
            size_bytes = path.stat().st_size
            if format_of(beginning) == "tflite":
                raise UnsupportedError(
                    f"{path} is a TensorFlow Lite model, which this step does not take", hint="give it as ONNX"
                )
            refuse_by_beginning(path, beginning)
            if size_bytes > PROTOBUF_LIMIT_BYTES:
                raise UnsupportedError(
                    f"{path} is {size_bytes:,} bytes large; a model in one file ends at 2 GB",
                    why="neither ONNX (protobuf) nor TensorFlow Lite (FlatBuffers) can be larger",
                    hint="save an ONNX model with external data: onnx.save(model, path, save_as_external_data=True)",
                )
            content = beginning + file.read()
    except IsADirectoryError as error:
        raise not_a_folder(path) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not content:
        raise InvalidFileError(f"{path} is empty", hint="export the model again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise not_a_model(path, content) from error
    # Protobuf takes many a file for an empty message with unknown fields.
    if not model.ir_version or not model.opset_import or not model.HasField("graph"):
        raise not_a_model(path, content)
    if not _is_all_text(model):
        raise InvalidFileError(
            f"{path} is damaged", why="a name in it is not text in UTF-8", hint="export or copy it again"
        )
    return model


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read a model whole, as one message: external data included, sparse tensors written out dense.

    Raises:
        InvalidFileError: the file, or a file of its external data, is missing, unreadable or not what it should be.
        UnsupportedError: the file is TensorFlow Lite, or the model is larger than the 2 GB that one message can hold.
    """
    model = read_onnx(path)
    data_files = external_files(model, path)
    total_bytes = path.stat().st_size + sum(file.stat().st_size for file in data_files)
    if total_bytes > PROTOBUF_LIMIT_BYTES:
        raise UnsupportedError(
            f"{path} and its external data are {total_bytes:,} bytes large; this step takes at most 2 GB",
            why="it needs the model as one protobuf message",
        )
    if data_files:
        try:
            onnx.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise InvalidFileError(f"the external data of {path} cannot be read", why=str(error)) from error
    densify(model, str(path), limit_bytes=PROTOBUF_LIMIT_BYTES - total_bytes)
    return model


def read_in_one_piece(path: Path) -> bytes:
    """Read a model, ONNX or TensorFlow Lite, as one message: as `load_onnx` where that changes it, else byte for byte.

    Raises:
        InvalidFileError, UnsupportedError: as `load_onnx`.
    """
    if not is_tflite(path):
        read, changed = read_with_notes(path)
        if external_files(read, path) or has_sparse(read) or changed:
            content: bytes = load_onnx(path).SerializeToString(deterministic=True)
            return content
    try:
        return read_file(path, MODEL)
    except OSError as error:
        raise unreadable(path, error) from error


def external_files(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """Return the files that hold a model's external data, in name order.

    Each tensor's place is checked: the format asks for a relative path below the model's folder
    (https://onnx.ai/onnx/repo-docs/ExternalData.html), and a model from a stranger must not name other files.

    Raises:
        InvalidFileError: a file is missing, lies elsewhere, or is shorter than a tensor's place in it.
    """
    files: dict[str, Path] = {}
    for tensor in tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        location = place.get("location", "")
        if location not in files:
            files[location] = _external_file(path, tensor.name, location)
        try:
            offset, length = int(place.get("offset") or 0), int(place.get("length") or 0)
        except ValueError as error:
            raise InvalidFileError(
                f"{path}: tensor {tensor.name!r} has no place in {location}", why=str(error)
            ) from error
        size_bytes = files[location].stat().st_size
        if offset < 0 or length < 0 or offset + length > size_bytes:
            raise InvalidFileError(
                f"{path}: tensor {tensor.name!r} lies beyond the end of {location}",
                why=f"bytes {offset:,} to {offset + length:,} of {size_bytes:,}",
                hint="export the model and its data again, or copy the data file whole",
            )
    return tuple(files[location] for location in sorted(files))


def _external_file(path: Path, tensor: str, location: str) -> Path:
    folder = path.parent.resolve()
    # A NUL is no part of any path; the operating system would say so with a ValueError.
    if not location or "\0" in location or Path(location).is_absolute() or ".." in Path(location).parts:
        inside = False
    else:
        inside = (folder / location).resolve().is_relative_to(folder)
    if not inside:
        raise InvalidFileError(
            f"{path}: tensor {tensor!r} names {location!r} as its external data",
            why="external data must lie in the model's folder",
        )
    file = path.parent / location
    if not file.is_file():
        raise InvalidFileError(
            f"{path} needs its external data {location}, which is not there",
            hint=f"copy {location} into {path.parent} too, under this name: the model asks for it by name",
        )
    with open_file(file) as opened:
        if opened.read(len(LFS_POINTER)) == LFS_POINTER:
            raise InvalidFileError(
                f"the external data {location} of {path} is a Git LFS pointer: the file itself was not fetched",
                hint="git lfs pull",
            )
    return file


def _is_all_text(message: Message) -> bool:
    """Return whether all strings are text.

    Protobuf hands out those that are not as bytes, where nobody expects them.
    """
    for field, value in message.ListFields():
        several = (value,) if isinstance(value, Message | str | bytes) else value
        if field.type == field.TYPE_MESSAGE:
            if not all(_is_all_text(each) for each in several):
                return False
        elif field.type == field.TYPE_STRING and any(isinstance(each, bytes) for each in several):
            return False
    return True
