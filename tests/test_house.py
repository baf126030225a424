"""What keeps the house simple to read: a name means one thing."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import edgedeploy

_PACKAGE = Path(edgedeploy.__file__).parent
# The runner stands apart: it runs on boards, where none of the other names exist.
_MODULES = [path for path in sorted(_PACKAGE.rglob("*.py")) if "runner/" not in path.as_posix()]


def test_no_two_classes_share_a_name() -> None:
    classes = Counter(
        node.name
        for path in _MODULES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in classes.items() if count > 1] == []
