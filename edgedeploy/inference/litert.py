"""Run a TensorFlow Lite model on this machine with ai-edge-litert, the extra `tflite`."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import DatasetError, HostError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.extras import extra_line
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.text import is_text

_REDIRECTED = threading.Lock()
_UNRESOLVED = re.compile(r"unresolved custom op: ([^\s]*[^\s.])")


def require_tflite(module: str) -> Any:
    """Import one of the extra's modules.

    Raises:
        HostError: the extra is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise HostError(
            f"{module.partition('.')[0].replace('_', '-')} is needed for TensorFlow Lite models and is not here",
            why=str(error),
            hint=extra_line("tflite"),
        ) from error


class TfliteSession:
    """A TensorFlow Lite model that is loaded and ready to run: its first subgraph.

    The attributes `input_names` and `output_names` are the names of the tensors, in the model's order, `output_shapes`
    what the file says of them (None for an extent that is open). `arithmetic_note` says why a model did not load in
    exact arithmetic though that was asked for, and what runs it instead; it is empty where it did. Where the model
    takes or gives quantized integers, `run` also takes float32 (and quantizes it) and always gives float32.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        exact: bool,
        threads: int | None = None,
        keep_all_tensors: bool = False,
    ) -> None:
        """
        Args:
            model: a file or its content.
            exact: run the built-in kernels without a delegate, where they can run the model. Their integer arithmetic
                is the one that TensorFlow Lite's quantization specification asks for
                (https://ai.google.dev/edge/litert/models/quantization_spec). Otherwise the model runs as ai-edge-litert
                runs it by default, with XNNPACK's kernels for this machine.
            threads: of one operator; None takes as many as there are processors.
            keep_all_tensors: keep what lies between the inputs and the outputs, for `tensors`.

        Raises:
            HostError: ai-edge-litert is not installed.
            InvalidFileError: the file is missing or not a TensorFlow Lite model.
            UnsupportedError: ai-edge-litert refuses the model, in its own words.
        """
        runtime = require_tflite("ai_edge_litert.interpreter")
        name, content = _read(model)
        self.arithmetic_note = ""
        try:
            self._interpreter = _interpreter(runtime, content, threads, keep_all_tensors, delegate=not exact)
        except (RuntimeError, ValueError) as error:
            # A delegate takes operators for which TensorFlow Lite has no kernel of its own, such as MediaPipe's.
            unresolved = _UNRESOLVED.search(str(error)) if exact else None
            if unresolved is None:
                raise _refusal(name, error) from error
            try:
                self._interpreter = _interpreter(runtime, content, threads, keep_all_tensors, delegate=True)
            except (RuntimeError, ValueError) as again:
                raise _refusal(name, again) from again
            self.arithmetic_note = (
                f"exact arithmetic could not be had: only XNNPACK runs the custom operator {unresolved[1]}, so the "
                "model ran with its kernels for this machine instead"
            )
        self._inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self._outputs: list[dict[str, Any]] = self._interpreter.get_output_details()
        self.input_names = tuple(str(detail["name"]) for detail in self._inputs)
        self.output_names = tuple(str(detail["name"]) for detail in self._outputs)
        self.output_shapes = tuple(
            tuple(int(extent) if extent >= 0 else None for extent in _signature(detail)) for detail in self._outputs
        )
        self._shapes = {detail["name"]: tuple(int(n) for n in detail["shape"]) for detail in self._inputs}

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return all outputs, in the model's order.

        Dynamic extents (-1 in the file) take what the feed brings. Variable tensors, the state of an LSTM, begin anew
        with each run, so that samples do not answer for each other; resource variables keep what was assigned to them.

        Raises:
            DatasetError: the feed does not fit the model (name, dtype or shape).
            UnsupportedError: the model fails while it runs, or takes text.
        """
        if set(feed) != set(self.input_names):
            raise DatasetError(
                "the model does not take this feed",
                why=f"its inputs are {', '.join(map(repr, self.input_names))}; given: {', '.join(map(repr, feed))}",
            )
        arrays = {detail["name"]: _fitting(detail, feed[detail["name"]]) for detail in self._inputs}
        try:
            self._resize({name: array.shape for name, array in arrays.items()})
            for detail in self._inputs:
                self._interpreter.set_tensor(detail["index"], arrays[detail["name"]])
            self._interpreter.reset_all_variables()
            self._interpreter.invoke()
            outputs = [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]
        except (RuntimeError, ValueError) as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
            raise UnsupportedError(
                "the model fails while it runs",
                why=_words(error),
                hint=f"check that it is made for inputs of {shapes}",
            ) from error
        return [_dequantized(detail, output) for detail, output in zip(self._outputs, outputs, strict=True)]

    def tensor(self, index: int) -> np.ndarray | None:
        """Return a copy of a tensor as the last `run` left it; None when it has no data.

        Only of a session with `keep_all_tensors`.

        Args:
            index: its number in the first subgraph.
        """
        try:
            return np.asarray(self._interpreter.get_tensor(index))
        except ValueError:
            return None

    def tensors(self, names: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield copies of these tensors as the last `run` left them, one at a time, subgraph by subgraph.

        Only of a session with `keep_all_tensors`. What holds no data (a branch not taken) is left out.
        """
        for subgraph in range(self._interpreter.num_subgraphs()):
            for detail in self._interpreter.get_tensor_details(subgraph):
                if detail["name"] not in names:
                    continue
                try:
                    yield detail["name"], self._interpreter.get_tensor(detail["index"], subgraph)
                except ValueError:
                    continue

    def shapes_at(self, inputs: Mapping[str, Sequence[int]]) -> list[tuple[int, ...]]:
        """Return the shapes of the first subgraph's tensors, by their number, for inputs of these shapes.

        Raises:
            UnsupportedError: the model does not take them.
        """
        try:
            self._resize(inputs)
            details = self._interpreter.get_tensor_details()
        except (RuntimeError, ValueError) as error:
            raise UnsupportedError("the model does not take inputs of these shapes", why=_words(error)) from error
        shapes = {int(detail["index"]): tuple(int(extent) for extent in detail["shape"]) for detail in details}
        return [shapes.get(index, ()) for index in range(max(shapes, default=-1) + 1)]

    def _resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        changed = False
        for detail in self._inputs:
            shape = tuple(shapes[detail["name"]])
            if shape != self._shapes[detail["name"]]:
                self._interpreter.resize_tensor_input(detail["index"], shape, strict=False)
                self._shapes[detail["name"]] = shape
                changed = True
        if changed:
            self._interpreter.allocate_tensors()


def _interpreter(runtime: Any, content: bytes, threads: int | None, keep_all_tensors: bool, *, delegate: bool) -> Any:
    """Load a model. Raises RuntimeError or ValueError, in the runtime's words."""
    kinds = runtime.OpResolverType
    with _quiet_delegate():
        interpreter = runtime.Interpreter(
            model_content=content,
            num_threads=threads or os.cpu_count() or 1,
            experimental_op_resolver_type=kinds.BUILTIN if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=keep_all_tensors,
        )
        interpreter.allocate_tensors()
    return interpreter


def _refusal(name: str, error: Exception) -> UnsupportedError:
    unresolved = _UNRESOLVED.search(str(error))
    hint = (
        ""
        if unresolved is None
        else f"export the model without {unresolved[1]}: neither TensorFlow Lite nor XNNPACK has a kernel for it"
    )
    return UnsupportedError(f"ai-edge-litert does not load {name}", why=_words(error), hint=hint)


def _read(model: Path | bytes) -> tuple[str, bytes]:
    if isinstance(model, bytes):
        name, content = "the model", model
    else:
        name = str(model)
        try:
            content = read_file(model, MODEL)
        except OSError as error:
            raise unreadable(model, error) from error
    if format_of(content[:8]) != "tflite":
        raise InvalidFileError(f"{name} is not a TensorFlow Lite model")
    return name, content


def _fitting(detail: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    """Return the array in the input's type, quantized if it has to be."""
    name, shape = detail["name"], tuple(int(n) for n in _signature(detail))
    if len(array.shape) != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise DatasetError(
            "the model does not take this feed", why=f"{name!r} has shape {array.shape}, expected {shape}"
        )
    if is_text(array):
        raise UnsupportedError(
            f"input {name!r} is text, which is not given to TensorFlow Lite models",
            hint="take the model as ONNX, or from the numbers on that the text is turned into",
        )
    wanted = np.dtype(detail["dtype"])
    if array.dtype == wanted:
        return np.ascontiguousarray(array)
    if _is_quantized(detail) and array.dtype == np.float32:
        scale, zero_point = detail["quantization"]
        limits = np.iinfo(wanted)
        return np.asarray(np.clip(np.rint(array / scale) + zero_point, limits.min, limits.max), dtype=wanted)
    raise DatasetError(
        "the model does not take this feed", why=f"{name!r} has dtype {array.dtype.name}, expected {wanted.name}"
    )


def _signature(detail: Mapping[str, Any]) -> Any:
    """Return the shape with -1 where it is dynamic; older files have no signature, and none of their extents is."""
    return detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]


def _is_quantized(detail: Mapping[str, Any]) -> bool:
    """Return whether the tensor holds integers for real numbers, with one scale for all of them."""
    return bool(np.issubdtype(detail["dtype"], np.integer)) and float(detail["quantization"][0]) != 0.0


def _dequantized(detail: Mapping[str, Any], output: np.ndarray) -> np.ndarray:
    """Return real = (quantized - zero point) · scale: https://ai.google.dev/edge/litert/models/quantization_spec"""
    if not _is_quantized(detail):
        return output
    scale, zero_point = detail["quantization"]
    return ((output.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)).astype(np.float32)


@contextlib.contextmanager
def _quiet_delegate() -> Iterator[None]:
    """Hide what the runtime prints when it makes its delegate: it has no setting that keeps it quiet.

    What goes wrong is raised, not printed.
    """
    with _REDIRECTED, contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        kept = os.dup(2)
        stack.callback(os.close, kept)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        os.dup2(nowhere, 2)
        stack.callback(os.dup2, kept, 2)
        yield


def _words(error: Exception) -> str:
    return one_line(str(error), limit=500)
