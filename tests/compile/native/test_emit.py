"""The C of copies and loops, and the expressions of the elements that they reach."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.graph import Graph
from edgedeploy.compile.native.layout import Place, dense
from edgedeploy.compile.native.loops import Element, Index, Nest


@pytest.fixture
def emitter() -> Emitter:
    return Emitter(Graph(inputs=[], outputs=[], nodes=[], opset=17))


@pytest.mark.parametrize("method", ["copy", "copy_within"])
def test_a_copy_goes_from_the_source_to_the_target(emitter: Emitter, method: str) -> None:
    shape = (2, 3)
    source, target = (Place(emitter.buffer(np.dtype(np.float32), 6), 0, dense(shape)) for _ in range(2))
    getattr(emitter, method)(shape, source=source, target=target)
    (statement,) = emitter.statements
    read, written = (
        line for token in (source.pointer, target.pointer) for line in statement.splitlines() if token in line
    )
    assert read.split("=")[0].strip().startswith("const float *")
    assert written.split("=")[0].strip() in ("float *y", "float *restrict y")


@pytest.mark.parametrize("method", ["copy", "copy_within"])
def test_nobody_can_take_the_source_for_the_target(emitter: Emitter, method: str) -> None:
    """Once, one of the two took them in the other order."""
    place = Place(emitter.buffer(np.dtype(np.float32), 6), 0, (1,))
    with pytest.raises(TypeError, match="positional"):
        getattr(emitter, method)((6,), place, place)


def test_an_index_is_a_sum_of_counters_times_strides() -> None:
    assert str(Index.along((6, 0, 1))) == "i0 * 6 + i2"
    assert str(Index.along(())) == str(Index.along((0, 0))) == "0"
    assert str(Index.spelled_out((6, 0, 1), "b")) == "b0 * 6 + b1 * 0 + b2 * 1"
    assert str(Index.start(4) + Index.spelled_out((-2,))) == "4 + i0 * -2"
    assert str(Index.start(4) + Index.spelled_out(())) == "4"


def test_an_element_is_moved_without_reading_what_was_written() -> None:
    nest = Nest((2, 3), ((3, 1), (0, 5)))
    element = Element("x1", nest.index(1, "o"))
    assert str(element) == "x1[o1 * 5]"
    assert str(element.shifted(f"bounded({Element('x2', nest.index(0))}, 4) * 7")) == (
        "x1[o1 * 5 + bounded(x2[i0 * 3 + i1], 4) * 7]"
    )
