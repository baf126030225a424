"""Where values lie: the arena, and loops over views of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.compile.native.arena import ALIGNMENT, Lifetime, lay_out
from edgedeploy.compile.native.layout import dense, memory_order
from edgedeploy.compile.native.loops import collapse

_LIFETIMES = st.lists(
    st.builds(
        lambda size, first, length: Lifetime(size, first, first + length),
        st.integers(1, 5000),
        st.integers(0, 20),
        st.integers(0, 8),
    ),
    max_size=25,
)


@given(_LIFETIMES)
def test_what_lives_at_the_same_time_shares_no_byte(lifetimes: list[Lifetime]) -> None:
    offsets, total = lay_out(lifetimes)
    for number, (mine, at) in enumerate(zip(lifetimes, offsets, strict=True)):
        assert at % ALIGNMENT == 0 and at + mine.size_bytes <= total
        for theirs, other in list(zip(lifetimes, offsets, strict=True))[:number]:
            if mine.last >= theirs.first and theirs.last >= mine.first:
                assert at + mine.size_bytes <= other or other + theirs.size_bytes <= at


@given(_LIFETIMES)
def test_the_arena_is_no_larger_than_everything_side_by_side(lifetimes: list[Lifetime]) -> None:
    assert lay_out(lifetimes)[1] <= sum(-(-each.size_bytes // ALIGNMENT) * ALIGNMENT for each in lifetimes)


@given(st.lists(st.integers(1, 4), max_size=5), st.randoms())
def test_collapsed_loops_reach_every_element_at_the_same_places(shape: list[int], random: object) -> None:
    axes = list(range(len(shape)))
    random.shuffle(axes)  # type: ignore[attr-defined]
    ours, theirs = dense(shape, axes), dense(shape)
    nest = collapse(shape, memory_order(shape, ours), [ours, theirs])
    found = {
        (
            sum(i * s for i, s in zip(index, nest.strides[0], strict=True)),
            sum(i * s for i, s in zip(index, nest.strides[1], strict=True)),
        )
        for index in np.ndindex(*nest.extents)
    }
    wanted = {
        (sum(i * s for i, s in zip(index, ours, strict=True)), sum(i * s for i, s in zip(index, theirs, strict=True)))
        for index in np.ndindex(*shape)
    }
    assert found == wanted
