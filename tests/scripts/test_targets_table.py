from __future__ import annotations

import pytest
import targets_table

from edgedeploy.targets.load import load_target


@pytest.mark.slow
def test_the_tables_in_the_documentation_are_what_targets_and_backends_say():
    stale = [
        path.name
        for path in targets_table.FILES
        if targets_table.renewed(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")
    ]
    assert stale == [], "run scripts/targets_table"
    assert "| `rpi4` |" in targets_table.FILES[1].read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_backend_that_refuses_has_an_empty_cell():
    rpi4 = load_target("rpi4")
    heading, _, of_rpi4, of_zero = targets_table.backends([rpi4, load_target("rpi-zero")]).splitlines()
    names = [cell.strip() for cell in heading.split("|")[2:-1]]
    assert names == list(rpi4.backends)
    cells = dict(zip(names, (cell.strip() for cell in of_rpi4.split("|")[2:-1]), strict=True))
    assert cells["onnxruntime"] == f"{rpi4.backends.index('onnxruntime') + 1}. ONNX"
    cells = dict(zip(names, (cell.strip() for cell in of_zero.split("|")[2:-1]), strict=True))
    assert cells["onnxruntime"] == cells["tflite"] == "" and cells["native"] == "1. ONNX"


def test_what_stands_around_a_table_stays():
    text = "before\n<!-- targets: facts -->\nold\n<!-- end of targets -->\nafter\n"
    renewed = targets_table.renewed(text)
    assert renewed.startswith("before\n<!-- targets: facts -->\n| target | boards |")
    assert renewed.endswith("|\n<!-- end of targets -->\nafter\n") and "old" not in renewed
    assert targets_table.renewed(renewed) == renewed
    assert targets_table.renewed("nothing here\n") == "nothing here\n"
