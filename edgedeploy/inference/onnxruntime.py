"""Run a model on this machine with onnxruntime's CPU provider."""

from __future__ import annotations

import functools
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgedeploy.foundation.errors import DatasetError, HostError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.reading import SYSTEM_TEXT, read_text
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.inference import frozen_inputs as bound_inputs
from edgedeploy.inference.locales import install_locale, refused_locale
from edgedeploy.inference.opening_trial import try_opening

# onnxruntime's wheels report to their maker unless this is set before they are loaded (Privacy.md in the package): they
# leave a device identifier and a database of events in the cache folder, and send them. A user who wants that sets it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _state

_log = logging.getLogger(__name__)

# Severity 4 is «fatal»: what goes wrong comes back as an exception, whose words are ours to print.
_QUIET, _LOUD = 4, 2

_NO_ARRAY = "No corresponding Numpy type"

_ARM_FEATURES = ("asimd", "asimddp", "i8mm", "sve")


def open_model(
    model: Path | bytes, *, exact: bool, threads: int | None = None, plan_memory: bool = True
) -> onnxruntime.InferenceSession:
    """Open a model in onnxruntime, without a trial; arguments are those of `HostSession`.

    Raises:
        Exception: of onnxruntime's own classes.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _severity()
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    options.enable_mem_pattern = plan_memory
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    given = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


class HostSession:
    """A model that is loaded and ready to run.

    The attributes `input_names`, `output_names` and `output_shapes` (None for an extent that is open) are in the
    model's order.
    """

    def __init__(
        self, model: Path | bytes, *, exact: bool, threads: int | None = None, plan_memory: bool = True
    ) -> None:
        """
        Args:
            model: a file, whose external data is found beside it, or a serialized model that has none. The latter is
                opened in a process of its own first where it has control flow and is optimized: see `opening_trial`.
            exact: switch off all graph optimizations (`ORT_DISABLE_ALL`). Then nothing is fused, and each
                QuantizeLinear/DequantizeLinear pair is evaluated in float: the arithmetic of a kernel that does not
                saturate. Otherwise the model runs as onnxruntime runs it by default, with this machine's integer
                kernels.
            threads: of one operator; None leaves it to onnxruntime (one per physical core). Sums in float may differ in
                the last digit between numbers of threads.
            plan_memory: take one block for all intermediate tensors of a run (onnxruntime's default). With many large
                outputs that block comes on top of theirs, and gains nothing.

        Raises:
            InvalidFileError: the file is missing or not an ONNX model.
            UnsupportedError: onnxruntime refuses the model, in its own words, or would end this process over it.
            HostError: the model needs a locale that this machine has not.
        """
        name = str(model) if isinstance(model, Path) else "the model"
        if isinstance(model, bytes) and not exact:
            try_opening(model)
        try:
            self._session = open_model(model, exact=exact, threads=threads, plan_memory=plan_memory)
        except (_state.NoSuchFile, _state.InvalidProtobuf) as error:
            raise InvalidFileError(f"{name} cannot be loaded", why=_words(error)) from error
        except Exception as error:
            # Its classes have no common base of their own below Exception.
            if locale := refused_locale(str(error)):
                raise _without_locale(name, locale) from error
            raise UnsupportedError(
                f"onnxruntime does not load {name}", why=_words(error), hint=_hint_of_refusal(error)
            ) from error
        self.input_names = tuple(value.name for value in self._session.get_inputs())
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self.output_shapes = tuple(_declared(value.shape) for value in self._session.get_outputs())
        bound = bound_inputs.read(self._session.get_modelmeta().custom_metadata_map)
        self._bound = {name: value for name, value in bound.items() if name not in self.input_names}
        self._options = onnxruntime.RunOptions()
        self._options.log_severity_level = _severity()

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return all outputs, in the model's order.

        Arrays for inputs that were bound to a constant (`fix-input`) are left out when they hold that constant.

        Raises:
            DatasetError: onnxruntime rejects the feed (name, dtype or shape), or it holds another value than an input
                was bound to.
            UnsupportedError: the model fails while it runs, or an output is not a tensor, or text that is not UTF-8.
        """
        taken = bound_inputs.without_bound(feed, self._bound)
        try:
            outputs = self._session.run(None, taken, self._options)
        except UnicodeDecodeError as error:
            raise UnsupportedError(
                "the model answers bytes that are not text in UTF-8",
                why=_words(error),
                hint="export the model from text in UTF-8: its own strings are in another encoding",
            ) from error
        except (_state.InvalidArgument, ValueError) as error:
            raise DatasetError("the model does not take this feed", why=_words(error)) from error
        except Exception as error:
            if _NO_ARRAY in str(error):
                raise UnsupportedError(
                    "the model answers in a type that NumPy has no arrays of",
                    why=_words(error),
                    hint="export the model with a Cast to float32 before that output",
                ) from error
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
            raise UnsupportedError(
                "the model fails while it runs", why=_words(error), hint=f"check that it is made for inputs of {shapes}"
            ) from error
        for name, output in zip(self.output_names, outputs, strict=True):
            if not isinstance(output, np.ndarray):
                raise UnsupportedError(
                    f"output {name!r} is a {type(output).__name__}, not a tensor",
                    hint="export the model without it (scikit-learn: zipmap=False)",
                )
        return list(outputs)


def _without_locale(name: str, locale: str) -> HostError:
    return HostError(
        f"{name} needs the locale {locale}, which this machine has not",
        why="a StringNormalizer in it changes or compares the case of letters by that locale's rules",
        hint=f"make it here, as root: {install_locale(locale)}; or export the model with locale='C.UTF-8', which every "
        "Debian has",
    )


def _declared(shape: Sequence[int | str | None] | None) -> tuple[int | None, ...] | None:
    return None if shape is None else tuple(extent if isinstance(extent, int) else None for extent in shape)


@functools.cache
def host_isa() -> str:
    """Return features of this machine that choose onnxruntime's integer kernels, e.g. `"x86-64 avx2 (no vnni)"`.

    Which ones do: https://github.com/microsoft/onnxruntime, onnxruntime/core/mlas/lib/platform.cpp.
    """
    machine = platform.machine()
    try:
        text = read_text(Path("/proc/cpuinfo"), SYSTEM_TEXT, errors="replace")
    except OSError:
        text = ""
    flags: set[str] = set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            flags = set(value.split())
            break
    if machine in ("x86_64", "AMD64"):
        wide = next((name for name in ("avx512f", "avx2", "avx", "sse4_1") if name in flags), "baseline")
        integer = " ".join(name for name in ("avx512_vnni", "avx_vnni", "amx_int8") if name in flags)
        return f"x86-64 {wide} {integer or '(no vnni)'}"
    return " ".join([machine, *(name for name in _ARM_FEATURES if name in flags)])


def _hint_of_refusal(error: Exception) -> str:
    if isinstance(error, _state.NotImplemented):
        return (
            "onnxruntime's CPU kernels compute in float32 and mostly not in bfloat16 or float8: export the model in "
            "float32 (in PyTorch model.float()), or without this operator"
        )
    return ""


def _severity() -> int:
    return _LOUD if _log.isEnabledFor(logging.DEBUG) else _QUIET


def _words(error: Exception) -> str:
    """onnxruntime's own words without its error number and source position."""
    text = one_line(str(error))
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return one_line(text, limit=500)
