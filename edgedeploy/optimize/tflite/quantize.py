"""TensorFlow Lite weights and activations in fewer bits, through ai-edge-quantizer.

ai-edge-quantizer as it comes leaves most real files as they were, or fails on them: it passes over weights that are
stored as float16 or sparse, takes the operators of files from before 2020 for ADD, needs a name of its own for every
tensor and a signature for the model, and quantizes every operator it knows. So the model is prepared for it, it is told
for each operator by name what to do, and inputs and outputs keep their names and stay float.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from edgedeploy.inference.litert import require_tflite
from edgedeploy.model.tflite_file import is_quantized, read_tflite, tensor_name, write_tflite
from edgedeploy.optimize.base import Context, Facts, PassSkipped
from edgedeploy.optimize.quantize.calibration import DEFAULT_PERCENTILE, Method
from edgedeploy.optimize.tflite import graph
from edgedeploy.optimize.tflite.calibrate import calibrate
from edgedeploy.optimize.tflite.select import (
    DENSE,
    LINEAR,
    WORTHWHILE_ELEMENTS,
    Operator,
    integer_region,
    linear,
    operators,
    worthwhile,
)

# ai-edge-quantizer's names where they are not the schema's.
_ITS_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


class Quantization(Struct, frozen=True, kw_only=True):
    """What is to be done with which weights: integers are symmetric, with a scale per output channel."""

    scheme: Literal["static", "dynamic", "weights", "float16"]
    """`"static"`: weights and activations in int8, with calibrated ranges. `"dynamic"`: weights in int8, activations
    quantized as the model runs. `"weights"`: weights in integers, decoded to float as the model is loaded; `"float16"`:
    the same with float16."""
    kinds: tuple[str, ...]
    """Operators whose weights are quantized, as the schema calls them."""
    bits: Literal[4, 8] = 8
    """Of weights of matrix products that are decoded; all others have 8."""
    keep_float: tuple[str, ...] = ()
    """Operators that stay in float, by the name of their first output."""
    only: tuple[str, ...] = ()
    """If not empty, the only ones that do not."""
    smallest: int = WORTHWHILE_ELEMENTS
    """Weights of fewer elements stay in float, but for `"static"`, whose integers should not be interrupted."""
    calibration: Method = "min-max"
    calibration_samples: int = 0
    percentile: float = DEFAULT_PERCENTILE


class _Prepared(Struct, frozen=True):
    """A model as ai-edge-quantizer takes it."""

    model: Any
    names: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fused: dict[str, str]
    facts: Facts

    def numbered(self, names: Collection[str]) -> list[str]:
        """What operators of these names are called now; those that a clamp was fused into have its name."""
        new_names = {original: new for new, original in self.names.items()}
        return [new_names.get(self.fused.get(name, name), name) for name in names]


def quantize(content: bytes, wanted: Quantization, context: Context) -> tuple[bytes, Facts]:
    """Quantize a float model.

    Raises:
        PassSkipped: it is quantized already, has nothing to quantize, or ai-edge-quantizer does not take it.
        DatasetError: calibration data do not fit.
        HostError: the extra `tflite` is not installed.
    """
    prepared = _prepare(content, context)
    model = prepared.model
    kept, only = prepared.numbered(wanted.keep_float), prepared.numbered(wanted.only)
    found = operators(model)
    seeds = linear(found, wanted.kinds, kept, only)
    static = wanted.scheme == "static"
    if not static:
        seeds = worthwhile(seeds, wanted.smallest)
    if not seeds:
        raise PassSkipped(
            f"there is no {' or '.join(wanted.kinds)} with a constant float weight that is worth quantizing"
        )
    facts: Facts = {
        "nodes_quantized": len(seeds),
        "nodes_left_in_float": sum(operator.kind in LINEAR for operator in found) - len(seeds),
        **prepared.facts,
    }
    numbered = write_tflite(model)
    if static:
        chosen = integer_region(found, seeds, kept)
        ranges, samples = _ranges(numbered, prepared.inputs, chosen, model, wanted, context)
        result = _run(numbered, _recipe(wanted, chosen), ranges)
        facts |= {
            "between_them_quantized": _listed(operator.kind for operator in chosen if operator.kind not in LINEAR),
            "activation_type": "s8",
            "calibration_samples": samples,
        }
    else:
        result = _run(numbered, _recipe(wanted, seeds), None)
    return _finish(result, prepared, content, encode=wanted.scheme != "weights"), facts


def is_quantized_model(model: Any) -> bool:
    """Tell whether a tensor of the model stands for real numbers with integers."""
    return any(is_quantized(tensor) for each in model.subgraphs for tensor in each.tensors)


def _prepare(content: bytes, context: Context) -> _Prepared:
    model = read_tflite(content)
    if is_quantized_model(model):
        raise PassSkipped("the model is quantized already")
    if not context.probes:
        raise PassSkipped("there is no input to run the model on")
    first = model.subgraphs[0]
    inputs = tuple(tensor_name(first.tensors[index]) for index in first.inputs)
    outputs = tuple(tensor_name(first.tensors[index]) for index in first.outputs)
    if set(first.inputs) & set(first.outputs):
        raise PassSkipped("an input of the model is an output too")
    decoded = graph.decode_weights(model, content, context.probes[0])
    fused = graph.fuse_activations(model)
    graph.compact(model)
    names = graph.number_names(model)
    # ai-edge-quantizer goes through the signatures when it renames outputs, and older files have none at all.
    model.signatureDefs = model.signatureDefs or []
    facts: Facts = {}
    if decoded:
        facts["weights_decoded"] = decoded
    if fused:
        facts["activations_fused"] = len(fused)
    return _Prepared(model, names, inputs, outputs, fused, facts)


def _finish(result: bytes, prepared: _Prepared, source: bytes, *, encode: bool) -> bytes:
    """The quantized model under its own names.

    Args:
        encode: store what was decoded from float16 and not taken up as float16 again. Not where weights are decoded
            from integers: with both kinds of decoders in a model, XNNPACK decodes all weights anew in each run instead
            of once (1.2 to 1.8 times slower on three real models; with one kind, as fast as float).
    """
    model = read_tflite(result)
    graph.restore_names(model, prepared.names)
    graph.set_interface(model, prepared.inputs, prepared.outputs)
    if encode and "weights_decoded" in prepared.facts:
        graph.encode_constants(model)
    graph.compact(model)
    model.signatureDefs = model.signatureDefs or None
    return write_tflite(model, source)


def _ranges(
    content: bytes,
    inputs: Sequence[str],
    chosen: Collection[Operator],
    model: Any,
    wanted: Quantization,
    context: Context,
) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """In ai-edge-quantizer's form, of every activation that the chosen operators read or write."""
    tensors = model.subgraphs[0].tensors
    watched = {
        tensor_name(tensors[index]) for operator in chosen for index in (*operator.data_inputs(), *operator.outputs)
    }
    seen = calibrate(content, inputs, watched, context, method=wanted.calibration, limit=wanted.calibration_samples)
    ranges = {}
    for name in watched:
        chosen_range = seen.range(name, wanted.calibration, wanted.percentile)
        ranges[name] = {"min": np.array([chosen_range.low]), "max": np.array([chosen_range.high])}
    return ranges, seen.samples


def _recipe(wanted: Quantization, chosen: Collection[Operator]) -> list[dict[str, Any]]:
    """What ai-edge-quantizer is to do: this with the chosen operators, nothing with the rest."""
    managers = require_tflite("ai_edge_quantizer.recipe_manager")
    types = require_tflite("ai_edge_quantizer.qtyping")
    algorithms = require_tflite("ai_edge_quantizer.algorithm_manager").AlgorithmName
    names = types.TFLOperationName
    manager = managers.RecipeManager()
    # An operator's scope is the names of its outputs, each with a semicolon behind it.
    scope = "^(?:" + "|".join(re.escape(operator.name) for operator in chosen) + ");"
    for kind in sorted({_ITS_NAMES.get(operator.kind, operator.kind) for operator in chosen}):
        if not hasattr(names, kind):
            continue
        name = names(kind)
        if wanted.scheme == "float16":
            half = types.TensorQuantizationConfig(num_bits=16, dtype=types.TensorDataType.FLOAT)
            config = types.OpQuantizationConfig(weight_tensor_config=half, explicit_dequantize=True)
            manager.add_quantization_config(scope, name, config, algorithms.FLOAT_CASTING)
        elif wanted.scheme == "static":
            manager.add_static_config(scope, name, 8, 8)
        elif wanted.scheme == "dynamic":
            manager.add_dynamic_config(scope, name, 8)
        else:
            manager.add_weight_only_config(scope, name, wanted.bits if kind in DENSE else 8)
    recipe: list[dict[str, Any]] = manager.get_quantization_recipe()
    return recipe


def _run(content: bytes, recipe: list[dict[str, Any]], ranges: dict[str, dict[str, np.ndarray]] | None) -> bytes:
    quantizer = require_tflite("ai_edge_quantizer.quantizer")
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)  # It logs what it does to the root logger.
    try:
        # It draws progress bars on standard error, and sets off warnings of the runtime's.
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = quantizer.Quantizer(content, recipe).quantize(ranges, enable_progress_report=False)
    except Exception as error:
        # Its errors are of many classes, and models of the wild meet them all.
        words = " ".join(str(error).split())
        raise PassSkipped(f"ai-edge-quantizer does not take the model: {words[:300]}") from error
    finally:
        logging.disable(previous)
    return bytes(done.quantized_model)


def _listed(kinds: Any) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in Counter(kinds).most_common())
