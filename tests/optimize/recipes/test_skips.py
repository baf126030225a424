"""What a pass raised, as data: it could not, it broke its promise, or it failed."""

from __future__ import annotations

import logging

import pytest

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.optimize.base import PassSkipped, PostconditionError
from edgedeploy.optimize.recipes.skips import Skip, SkipKind, skip_of
from edgedeploy.optimize.simplify.remove_dead_code import RemoveDeadCode


@pytest.mark.parametrize(
    ("error", "skip", "is_fault"),
    [
        (PassSkipped("there is no Conv"), Skip(SkipKind.CANNOT, "there is no Conv"), False),
        (
            PostconditionError("outputs moved"),
            Skip(SkipKind.BROKE_PROMISE, "its result was discarded, because outputs moved"),
            True,
        ),
        (
            ValueError("first\nsecond"),
            Skip(SkipKind.FAILED, "it failed on this model (ValueError: first)"),
            True,
        ),
    ],
)
def test_faults_are_told_apart_and_logged(caplog, error, skip, is_fault):
    with caplog.at_level(logging.DEBUG, logger="edgedeploy.optimize.recipes.skips"):
        assert skip_of(RemoveDeadCode(), error) == skip
    assert skip.kind.is_fault is is_fault
    assert [record.message for record in caplog.records] == (["remove-dead-code"] if is_fault else [])


def test_what_is_a_fact_of_the_users_world_is_raised():
    error = DatasetError("sample 3 does not fit")
    with pytest.raises(DatasetError) as caught:
        skip_of(RemoveDeadCode(), error)
    assert caught.value is error
