"""Writes the C of a whole model: a file that holds the generated statements, and the weights beside it."""

from __future__ import annotations

from importlib import resources

from msgspec import Struct

from edgedeploy.compile.native.arena import Lifetime, lay_out
from edgedeploy.compile.native.emit import Emitter, named_buffers, with_pointers
from edgedeploy.compile.native.graph import Graph, Value
from edgedeploy.compile.native.layout import C_TYPES
from edgedeploy.compile.native.operators import emit_graph

KERNELS = (
    "base.h",
    "depthwise.h",
    "integers.h",
    "lookup.h",
    "normalize.h",
    "pool.h",
    "recurrent.h",
    "rows.h",
    "scalar.h",
    "spread.h",
)
WEIGHTS = "weights.bin"
MODEL = "model.c"

SLACK_BYTES = 64
"""Behind all buffers: kernels of 8-bit integers may read past the end of a row, whatever lies there."""


class Sources(Struct, frozen=True):
    """What a C compiler is given."""

    files: dict[str, bytes]
    """By name, without folders: `model.c`, further ones, headers, and the weights that `model.c` takes in."""
    arena_bytes: int
    """Memory for all that lives between an input and an output."""
    weights_bytes: int
    generic: int
    """How many operators `emx-onnx-cgen` wrote."""

    @property
    def units(self) -> tuple[str, ...]:
        """The files to be compiled."""
        return tuple(sorted(name for name in self.files if name.endswith(".c")))


def write_program(graph: Graph) -> Sources:
    """Write the C files that implement `runner/c/native_model.h` for this model.

    Raises:
        UnsupportedError: there is an operator that cannot be compiled; it is named, with its node.
    """
    emitter = emit_graph(graph)
    pointers, arena_bytes = _memory(emitter)
    weights = bytes(emitter.weights) or bytes(1)
    folder = resources.files("edgedeploy.compile.native") / "kernels"
    files = {name: (folder / name).read_bytes() for name in KERNELS}
    files |= {name: text.encode() for name, text in emitter.sources.items()}
    files[WEIGHTS] = weights
    files[MODEL] = _text(emitter, pointers, arena_bytes).encode()
    return Sources(files, arena_bytes, len(weights), len(emitter.sources))


def _memory(emitter: Emitter) -> tuple[list[str], int]:
    """Return a C pointer for each buffer, and how large the arena is."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for at, statement in enumerate(emitter.statements):
        for number in named_buffers(statement):
            first.setdefault(number, at)
            last[number] = at
    shared = [each for each in emitter.buffers if each.weights_offset is None and each.number in first]
    lifetimes = [
        Lifetime(each.size_bytes, first[each.number], len(emitter.statements) if each.lasts else last[each.number])
        for each in shared
    ]
    offsets, total = lay_out(lifetimes)
    pointers = [""] * len(emitter.buffers)
    for each, offset in zip(shared, offsets, strict=True):
        pointers[each.number] = f"(({C_TYPES[each.dtype.name]} *)(arena + {offset}))"
    for each in emitter.buffers:
        if each.weights_offset is not None:
            pointers[each.number] = f"((const {C_TYPES[each.dtype.name]} *)(weights + {each.weights_offset}))"
    return pointers, total + SLACK_BYTES


def _text(emitter: Emitter, pointers: list[str], arena_bytes: int) -> str:
    """Write `model.c`."""
    graph = emitter.graph
    lines = [
        *_declarations(emitter),
        *_steps(emitter, pointers),
        "",
        f"const size_t native_memory_bytes = {arena_bytes};",
        "",
        *_run(emitter, pointers),
        "",
        *_list("native_input", graph.inputs),
        *_list("native_output", graph.outputs),
    ]
    return "\n".join(lines) + "\n"


def _declarations(emitter: Emitter) -> list[str]:
    return [
        *(f'#include "{name}"' for name in (*KERNELS, "native_model.h")),
        "",
        # `.incbin` is read by the assembler in a moment, where an array of literals takes minutes.
        '__asm__(".pushsection .rodata.weights, \\"a\\"\\n.balign 64\\nnative_weights:\\n"',
        f'        ".incbin \\"{WEIGHTS}\\"\\n.balign 64\\n.popsection\\n");',
        'extern const unsigned char weights[] __asm__("native_weights");',
        "static char *arena;",
        "static const void *const *inputs;",
        "",
        *emitter.prototypes,
        "",
    ]


def _steps(emitter: Emitter, pointers: list[str]) -> list[str]:
    """Write a function of its own for each statement: compilers are slow at very long ones."""
    lines = []
    for number, statement in enumerate(emitter.statements):
        lines += [
            f"static __attribute__((noinline)) void step{number}(void)",
            "{",
            with_pointers(statement, lambda buffer: pointers[buffer]),
            "}",
        ]
    return lines


def _run(emitter: Emitter, pointers: list[str]) -> list[str]:
    graph = emitter.graph
    return [
        "bool native_run(char *memory, const void *const given[], const void *outputs[])",
        "{",
        "    arena = memory;",
        "    inputs = given;",
        *(f"    step{number}();" for number in range(len(emitter.statements))),
        *(
            f"    outputs[{number}] = {pointers[emitter.delivered[value].number]};"
            for number, value in enumerate(graph.outputs)
        ),
        *(
            f"    if (*{pointers[emitter.delivered[value].number]} != {str(wanted).lower()})\n        return false;"
            for value, wanted in graph.guards
        ),
        "    return true;",
        "}",
    ]


def _list(name: str, values: list[Value]) -> list[str]:
    lines = [f"const struct tensor {name}s[] = {{"]
    for value in values:
        extents = ", ".join(map(str, value.shape))
        kind = value.dtype.name.upper()
        lines.append(f"    {{{_quoted(value.name)}, DTYPE_{kind}, {len(value.shape)}, {{{extents}}}, NULL}},")
    return [*lines, "};", f"const size_t {name}_count = {len(values)};"]


def _quoted(text: str) -> str:
    """Write a C string: every byte that could mean something is written as a number."""
    safe = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{safe}"'
