from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgedeploy.inference.text import TEXT_LIMIT_CHARACTERS, as_fixed_width, as_text, decode_text, encode_text

_texts = npst.arrays(
    object,
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements=st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda text: not text.endswith("\0")),
    fill=st.just(""),
)


@given(_texts)
def test_text_survives_messages_and_files(texts: np.ndarray) -> None:
    texts = as_text(texts)
    sent = decode_text(encode_text(texts), texts.shape)
    file = io.BytesIO()
    np.save(file, as_fixed_width(texts), allow_pickle=False)
    file.seek(0)
    kept = as_text(np.load(file, allow_pickle=False))
    for found in (sent, kept):
        assert found.dtype == object and found.shape == texts.shape
        assert found.tolist() == texts.tolist()


@given(st.binary(max_size=40), st.integers(0, 4))
def test_bytes_are_text_or_refused(content: bytes, count: int) -> None:
    try:
        texts = decode_text(content, (count,))
    except ValueError:
        return
    assert encode_text(texts) == content


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.array(["a", 3], object), "element 1 is int, not text"),
        (np.array(["a", None], object), "element 1 is NoneType, not text"),
        (np.array(["a", float("nan")], object), "element 1 is float, not text"),
        (np.array([b"a"], object), "element 0 is bytes, not text"),
        (np.array(["\ud83d"], object), "half of a surrogate pair"),
        (np.array(["a\0"], object), "ends with a NUL"),
        (np.frombuffer(np.array([0x110000], "<u4").tobytes(), "<U1"), "no character of Unicode"),
        (np.frombuffer(np.array([0xD800], "<u4").tobytes(), "<U1"), "half of a surrogate pair"),
        (np.array(["x" * (TEXT_LIMIT_CHARACTERS + 1)], object), "are the limit"),
        (np.array(["x" * TEXT_LIMIT_CHARACTERS] + [""] * 300, object), "over 1 GiB|more than 1 GiB"),
    ],
)
def test_what_cannot_be_carried_is_refused_in_words(array: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        as_text(array)
