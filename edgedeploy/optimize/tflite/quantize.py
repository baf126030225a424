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

from edgedeploy.model.tflite_file import is_quantized, read_tflite, tensor_name, write_tflite
from edgedeploy.optimize.calibration import DEFAULT_PERCENTILE, Method
from edgedeploy.optimize.contract import Context, Facts, Refused
from edgedeploy.optimize.tflite import graph
from edgedeploy.optimize.tflite.calibrate import calibrate
from edgedeploy.optimize.tflite.select import (
    DENSE,
    LINEAR,
    Operator,
    integer_region,
    linear,
    operators,
    worthwhile,
)
from edgedeploy.tflite_run import require_tflite

Scheme = Literal["static", "dynamic", "weights"]

# ai-edge-quantizer's names where they are not the schema's.
_ITS_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


class IntegerWeights(Struct, frozen=True, kw_only=True):
    """Weights in integers, symmetric, one scale per output channel."""

    scheme: Scheme
    """`"static"`: activations in int8 too, with calibrated ranges; `"dynamic"`: activations quantized as the model
    runs; `"weights"`: decoded to float as the model runs."""
    kinds: tuple[str, ...]
    """Operators whose weights are quantized, as the schema calls them."""
    bits: Literal[4, 8] = 8
    """Of weights of matrix products; those of convolutions have 8."""
    keep_float: tuple[str, ...] = ()
    calibration: Method = "min-max"
    calibration_samples: int = 0
    percentile: float = DEFAULT_PERCENTILE


class Float16(Struct, frozen=True, kw_only=True):
    """Weights in float16, decoded to float32 as the model is loaded."""

    kinds: tuple[str, ...]
    keep_float: tuple[str, ...] = ()


class _Prepared(Struct, frozen=True):
    """A model as ai-edge-quantizer takes it."""

    model: Any
    names: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    facts: Facts


def quantize(content: bytes, scheme: IntegerWeights | Float16, context: Context) -> tuple[bytes, Facts]:
    """Quantize a float model.

    Raises:
        Refused: it is quantized already, has nothing to quantize, or ai-edge-quantizer does not take it.
        DatasetError: calibration data do not fit.
        HostError: the extra `tflite` is not installed.
    """
    prepared = _prepare(content, context)
    model = prepared.model
    renamed = {original: new for new, original in prepared.names.items()}
    kept = tuple(renamed[name] for name in scheme.keep_float if name in renamed)
    found = operators(model)
    seeds = linear(found, scheme.kinds, kept)
    static = isinstance(scheme, IntegerWeights) and scheme.scheme == "static"
    if static:
        chosen = integer_region(found, seeds, model, kept)
    else:
        chosen = seeds = worthwhile(seeds)
    if not seeds:
        raise Refused(f"there is no {' or '.join(scheme.kinds)} with a constant float weight that is worth quantizing")
    numbered = write_tflite(model)
    samples = 0
    ranges: dict[str, dict[str, np.ndarray]] | None = None
    if static:
        assert isinstance(scheme, IntegerWeights)
        ranges, samples = _ranges(numbered, prepared.inputs, chosen, model, scheme, context)
    result = _run(numbered, _recipe(scheme, chosen), ranges)
    facts: Facts = {
        "nodes_quantized": len(seeds),
        "nodes_left_in_float": sum(one.kind in LINEAR for one in found) - len(seeds),
        **prepared.facts,
    }
    if static:
        facts |= {
            "between_them_quantized": _listed(one.kind for one in chosen if one.kind not in LINEAR),
            "activation_type": "s8",
            "calibration_samples": samples,
        }
    return _finish(result, prepared, content), facts


def is_quantized_model(model: Any) -> bool:
    """Whether a tensor of it stands for real numbers with integers."""
    return any(is_quantized(tensor) for each in model.subgraphs for tensor in each.tensors)


def _prepare(content: bytes, context: Context) -> _Prepared:
    model = read_tflite(content)
    if is_quantized_model(model):
        raise Refused("the model is quantized already")
    if not context.probes:
        raise Refused("there is no input to run the model on")
    first = model.subgraphs[0]
    inputs = tuple(tensor_name(first.tensors[index]) for index in first.inputs)
    outputs = tuple(tensor_name(first.tensors[index]) for index in first.outputs)
    if set(first.inputs) & set(first.outputs):
        raise Refused("an input of the model is an output too")
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
        facts["activations_fused"] = fused
    return _Prepared(model, names, inputs, outputs, facts)


def _finish(result: bytes, prepared: _Prepared, source: bytes) -> bytes:
    model = read_tflite(result)
    graph.restore_names(model, prepared.names)
    graph.set_interface(model, prepared.inputs, prepared.outputs)
    if prepared.facts.get("weights_decoded"):
        graph.encode_constants(model)
    graph.compact(model)
    model.signatureDefs = model.signatureDefs or None
    return write_tflite(model, source)


def _ranges(
    content: bytes,
    inputs: Sequence[str],
    chosen: Collection[Operator],
    model: Any,
    scheme: IntegerWeights,
    context: Context,
) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """In ai-edge-quantizer's form, of every activation that the chosen operators read or write."""
    tensors = model.subgraphs[0].tensors
    watched = {tensor_name(tensors[index]) for one in chosen for index in (*one.data_inputs(), *one.outputs)}
    seen = calibrate(content, inputs, watched, context, method=scheme.calibration, limit=scheme.calibration_samples)
    ranges = {}
    for name in watched:
        chosen_range = seen.range(name, scheme.calibration, scheme.percentile)
        ranges[name] = {"min": np.array([chosen_range.low]), "max": np.array([chosen_range.high])}
    return ranges, seen.samples


def _recipe(scheme: IntegerWeights | Float16, chosen: Collection[Operator]) -> list[dict[str, Any]]:
    """What ai-edge-quantizer is to do: this with the chosen operators, nothing with the rest."""
    managers = require_tflite("ai_edge_quantizer.recipe_manager")
    types = require_tflite("ai_edge_quantizer.qtyping")
    algorithms = require_tflite("ai_edge_quantizer.algorithm_manager").AlgorithmName
    names = types.TFLOperationName
    manager = managers.RecipeManager()
    # An operator's scope is the names of its outputs, each with a semicolon behind it.
    scope = "^(?:" + "|".join(re.escape(one.name) for one in chosen) + ");"
    for kind in sorted({_ITS_NAMES.get(one.kind, one.kind) for one in chosen}):
        if not hasattr(names, kind):
            continue
        name = names(kind)
        if isinstance(scheme, Float16):
            half = types.TensorQuantizationConfig(num_bits=16, dtype=types.TensorDataType.FLOAT)
            config = types.OpQuantizationConfig(weight_tensor_config=half, explicit_dequantize=True)
            manager.add_quantization_config(scope, name, config, algorithms.FLOAT_CASTING)
        elif scheme.scheme == "static":
            manager.add_static_config(scope, name, 8, 8)
        elif scheme.scheme == "dynamic":
            manager.add_dynamic_config(scope, name, 8)
        else:
            manager.add_weight_only_config(scope, name, scheme.bits if kind in DENSE else 8)
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
        raise Refused(f"ai-edge-quantizer does not take the model: {words[:300]}") from error
    finally:
        logging.disable(previous)
    return bytes(done.quantized_model)


def _listed(kinds: Any) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in Counter(kinds).most_common())
