"""Changes to a TensorFlow Lite graph that keep its results: decoded weights, names, and the removal of what is unused.

They work in place on the objects that `read_tflite` gives.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from edgedeploy.inference.litert import TfliteSession, require_tflite
from edgedeploy.inference.session import Feed
from edgedeploy.model.tflite_file import (
    constant,
    is_constant,
    is_quantized,
    operator_name,
    tensor_name,
    type_name,
    type_number,
)
from edgedeploy.optimize.base import PassSkipped

_DECODERS = ("DEQUANTIZE", "DENSIFY")
_ACTIVATIONS = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
_CAN_CLAMP = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL")
_HAVE_EFFECTS = frozenset(
    "ASSIGN_VARIABLE CALL CALL_ONCE DELEGATE HASHTABLE HASHTABLE_IMPORT IF STABLEHLO_COMPOSITE "
    "STABLEHLO_CUSTOM_CALL STABLEHLO_WHILE WHILE".split()
)
_WORTH_A_DECODER_BYTES = 1024
_NUMBERED = re.compile(r"^t\d+_\d+:")


def decode_weights(model: Any, content: bytes, probe: Feed) -> int:
    """Replace constants that the graph decodes first, float16 (DEQUANTIZE) and sparse ones (DENSIFY), by float32.

    ai-edge-quantizer passes over a weight that is not a constant of its operator. What the decoders give is taken from
    a run of the model, so that it is the runtime's own answer.

    Args:
        model: `content`, as objects.
        content: the model.
        probe: a feed that it takes.

    Returns:
        How many decoders are gone.
    """
    decoders = list(_decoders(model))
    if not decoders:
        return 0
    session = TfliteSession(content, exact=True, keep_all_tensors=True)
    session.run(probe)
    graph = model.subgraphs[0]
    for operator in decoders:
        index = int(operator.outputs[0])
        decoded = session.tensor(index)
        # A sparse float16 weight takes two decoders; what lies between them stays float16 and is dropped later.
        if decoded is None or decoded.dtype not in (np.float32, np.float16):
            raise PassSkipped(
                f"the runtime does not say what weight {tensor_name(graph.tensors[index])!r} is decoded to"
            )
        _make_constant(model, graph.tensors[index], decoded)
    gone = {id(operator) for operator in decoders}
    graph.operators = [operator for operator in graph.operators if id(operator) not in gone]
    return len(decoders)


def encode_constants(model: Any) -> int:
    """Store float32 constants of the first graph as float16 again where that loses nothing; return how many.

    Undoes `decode_weights` for what no pass took up: a file must not come out larger for having been looked at. A
    constant that never was float16 is one of its numbers by chance only when it is tiny, and costs nothing then either.
    """
    tools = require_tflite("ai_edge_litert.tools.flatbuffer_utils")
    graph = model.subgraphs[0]
    used = {int(index) for operator in graph.operators for index in operator.inputs}
    decoders: list[Any] = []
    for index in sorted(used):
        tensor = graph.tensors[index]
        values = constant(model, tensor) if type_name(tensor) == "FLOAT32" else None
        if values is None or values.nbytes < _WORTH_A_DECODER_BYTES or index in graph.outputs:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values, equal_nan=True):
            continue
        stored = type(tensor)(name=tensor.name + b"half", shape=list(tensor.shape), type=type_number("FLOAT16"))
        graph.tensors.append(stored)
        _make_constant(model, stored, half)
        tensor.buffer = 0
        decoder = type(graph.operators[0])(inputs=[len(graph.tensors) - 1], outputs=[index])
        decoder.opcodeIndex = _operator_code(model, tools.BuiltinOperator.DEQUANTIZE)
        decoders.append(decoder)
    graph.operators = [*decoders, *graph.operators]
    return len(decoders)


def _operator_code(model: Any, builtin: int) -> int:
    """The number of this operator's code, which is added if it is not there."""
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin:
            return index
    # Version 3 takes float16: tensorflow/lite/tools/versioning/op_version.cc, DEQUANTIZE.
    code = type(model.operatorCodes[0])(builtinCode=builtin, deprecatedBuiltinCode=min(builtin, 127), version=3)
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def fuse_activations(model: Any) -> dict[str, str]:
    """Let operators clamp their result themselves where a RELU of its own would, in the first graph.

    The numbers stay the same. Quantized, a RELU of its own is the one operator of a convolutional network that XNNPACK
    does not take: networks exported with float16 weights, which have them, ran 5 to 12 times slower in int8.

    Returns:
        For each operator that clamps now the name of what it gave, and the name of what it gives.
    """
    graph = model.subgraphs[0]
    functions = require_tflite("ai_edge_litert.tools.flatbuffer_utils").ActivationFunctionType
    producers = {int(index): operator for operator in graph.operators for index in operator.outputs}
    readers = Counter(int(index) for operator in graph.operators for index in operator.inputs)
    readers.update(int(index) for index in graph.outputs)
    gone: set[int] = set()
    names: dict[str, str] = {}
    for operator in graph.operators:
        function = _ACTIVATIONS.get(operator_name(model, operator))
        if function is None:
            continue
        between = int(operator.inputs[0])
        producer = producers.get(between)
        if producer is None or readers[between] != 1 or operator_name(model, producer) not in _CAN_CLAMP:
            continue
        if producer.builtinOptions is None or producer.builtinOptions.fusedActivationFunction != functions.NONE:
            continue
        producer.builtinOptions.fusedActivationFunction = getattr(functions, function)
        producer.outputs = [int(operator.outputs[0])]
        producers[producer.outputs[0]] = producer
        names[tensor_name(graph.tensors[between])] = tensor_name(graph.tensors[producer.outputs[0]])
        gone.add(id(operator))
    graph.operators = [operator for operator in graph.operators if id(operator) not in gone]
    return names


def number_names(model: Any) -> dict[str, str]:
    """Give every tensor a short name of its own, and say which it had, by the new name.

    ai-edge-quantizer knows tensors by their names; in real files several have the same one, or none.
    """
    names: dict[str, str] = {}
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            name = f"t{number}_{index}:"
            names[name] = tensor_name(tensor)
            tensor.name = name.encode()
    return names


def restore_names(model: Any, names: dict[str, str]) -> None:
    """Undo `number_names` after tensors were added, whose names are an old one with something behind it."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            name = tensor_name(tensor)
            if found := _NUMBERED.match(name):
                tensor.name = (names[found.group()] + name[found.end() :]).encode()


def set_interface(model: Any, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Name the first graph's inputs and outputs; what lies between and has such a name gets another."""
    graph = model.subgraphs[0]
    wanted = dict(zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True))
    taken = set(wanted.values())
    for index, tensor in enumerate(graph.tensors):
        if index in wanted:
            tensor.name = wanted[index].encode()
        elif tensor_name(tensor) in taken:
            tensor.name = f"{tensor_name(tensor)}:quantized".encode()


def drop_names(model: Any) -> int:
    """Take the names from all tensors but the inputs and outputs; return the bytes that they had."""
    dropped = 0
    for graph in model.subgraphs:
        kept = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept and tensor.name:
                dropped += len(tensor.name)
                tensor.name = None
    return dropped


def compact(model: Any) -> int:
    """Drop operators, tensors, data and operator codes that nothing uses, and keep equal data once.

    Returns:
        How many went.
    """
    gone = sum(_drop_operators(model, graph) for graph in model.subgraphs)
    gone += sum(_drop_tensors(model, number) for number in range(len(model.subgraphs)))
    return gone + _drop_buffers(model) + _drop_codes(model)


def _decoders(model: Any) -> Iterator[Any]:
    """The operators of the first graph that decode a constant which is not quantized."""
    graph = model.subgraphs[0]
    decoded: set[int] = set()
    for operator in graph.operators:
        if operator_name(model, operator) not in _DECODERS:
            continue
        index = int(operator.inputs[0])
        tensor = graph.tensors[index]
        if (is_constant(model, tensor) or index in decoded) and not is_quantized(tensor):
            decoded.add(int(operator.outputs[0]))
            yield operator


def _make_constant(model: Any, tensor: Any, data: np.ndarray) -> None:
    buffer = type(model.buffers[0])()
    buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.sparsity = None


def _drop_operators(model: Any, graph: Any) -> int:
    used = {int(index) for index in graph.outputs}
    kept: list[Any] = []
    for operator in reversed(graph.operators):
        outputs = {int(index) for index in operator.outputs}
        if outputs and not outputs & used and not _has_effects(model, operator):
            continue
        used.update(int(index) for index in operator.inputs)
        kept.append(operator)
    gone = len(graph.operators) - len(kept)
    graph.operators = kept[::-1]
    return gone


def _has_effects(model: Any, operator: Any) -> bool:
    is_custom = model.operatorCodes[operator.opcodeIndex].customCode is not None
    return is_custom or operator_name(model, operator) in _HAVE_EFFECTS


def _drop_tensors(model: Any, number: int) -> int:
    graph = model.subgraphs[number]
    signatures = [signature for signature in model.signatureDefs or [] if signature.subgraphIndex == number]
    lists = [graph.inputs, graph.outputs]
    for operator in graph.operators:
        lists += [operator.inputs, operator.outputs, operator.intermediates]
    used = {int(index) for indices in lists if indices is not None for index in indices if index >= 0}
    used |= {
        int(item.tensorIndex)
        for signature in signatures
        for item in (*(signature.inputs or []), *(signature.outputs or []))
    }
    moved = {old: new for new, old in enumerate(sorted(used))}
    before = len(graph.tensors)
    if len(used) == before:
        return 0

    def renumbered(indices: Any) -> Any:
        return indices if indices is None else [moved[int(index)] if index >= 0 else -1 for index in indices]

    graph.tensors = [graph.tensors[index] for index in sorted(used)]
    graph.inputs, graph.outputs = renumbered(graph.inputs), renumbered(graph.outputs)
    for operator in graph.operators:
        operator.inputs, operator.outputs = renumbered(operator.inputs), renumbered(operator.outputs)
        operator.intermediates = renumbered(operator.intermediates)
    for signature in signatures:
        for item in (*(signature.inputs or []), *(signature.outputs or [])):
            item.tensorIndex = moved[int(item.tensorIndex)]
    return before - len(used)


def _drop_buffers(model: Any) -> int:
    """Buffer 0 is empty by convention and stays."""
    holders = [tensor for graph in model.subgraphs for tensor in graph.tensors] + list(model.metadata or [])
    kept = [model.buffers[0]]
    places: dict[bytes, int] = {}
    for holder in holders:
        data = model.buffers[holder.buffer].data if holder.buffer else None
        if data is None:
            holder.buffer = 0
            continue
        content = data.tobytes()
        if content not in places:
            places[content] = len(kept)
            kept.append(model.buffers[holder.buffer])
        holder.buffer = places[content]
    gone = len(model.buffers) - len(kept)
    model.buffers = kept
    return gone


def _drop_codes(model: Any) -> int:
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    moved = {old: new for new, old in enumerate(used)}
    gone = len(model.operatorCodes) - len(used)
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = moved[operator.opcodeIndex]
    return gone
