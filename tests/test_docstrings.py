"""Every module and every package says in a sentence what it does."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path


def modules() -> list[Path]:
    """All modules of the package, packages' `__init__.py` among them."""
    spec = find_spec("edgedeploy")
    assert spec is not None and spec.origin is not None
    return sorted(Path(spec.origin).parent.rglob("*.py"))


def test_each_docstring_begins_with_a_sentence() -> None:
    wrong = []
    for path in modules():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = docstring.partition("\n")[0]
        if not first.endswith((".", "?", "!")) or len(first.split()) < 3:
            wrong.append(f"{path}:1: {first!r}")
    assert not wrong, "no sentence:\n" + "\n".join(wrong)


def test_every_folder_with_modules_is_a_package() -> None:
    assert [path.parent for path in modules() if not (path.parent / "__init__.py").exists()] == []
