"""One at a time, between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedeploy.foundation.errors import BusyError
from edgedeploy.foundation.locks import exclusive


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    with exclusive(tmp_path / "thing", "testing"):
        with (
            pytest.raises(BusyError, match="another edgedeploy is testing"),
            exclusive(tmp_path / "thing", "testing", patience_s=0.0),
        ):
            pytest.fail("the lock is held")
        with exclusive(tmp_path / "other", "testing", patience_s=0.0):
            pass
    with exclusive(tmp_path / "thing", "testing", patience_s=0.0):
        pass
