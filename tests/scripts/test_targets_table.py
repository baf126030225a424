from __future__ import annotations

import targets_table

from edgedeploy.target.load import load_target


def test_the_tables_in_the_documentation_are_what_targets_and_backends_say():
    stale = [
        path.name
        for path in targets_table.FILES
        if targets_table.renewed(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")
    ]
    assert stale == [], "run scripts/targets_table"
    assert "| `rpi4` |" in targets_table.FILES[1].read_text(encoding="utf-8")


def test_a_backend_that_refuses_has_an_empty_cell():
    rows = targets_table.backends([load_target("rpi4"), load_target("rpi-zero")]).splitlines()
    assert rows[0].startswith("| target | onnxruntime |")
    assert rows[2].startswith("| `rpi4` | 1. ONNX |")
    assert rows[3].startswith("| `rpi-zero` |  |")


def test_what_stands_around_a_table_stays():
    text = "before\n<!-- targets: facts -->\nold\n<!-- end of targets -->\nafter\n"
    renewed = targets_table.renewed(text)
    assert renewed.startswith("before\n<!-- targets: facts -->\n| target | boards |")
    assert renewed.endswith("|\n<!-- end of targets -->\nafter\n") and "old" not in renewed
    assert targets_table.renewed(renewed) == renewed
    assert targets_table.renewed("nothing here\n") == "nothing here\n"
