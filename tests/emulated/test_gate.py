"""The gate that others get, on edgedeploy itself: the demo's model against its contract, and the instructions of an
inference against the baseline in this repository. A pass or a kernel that makes more work of it fails here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml
from support.handed_over import hand_over

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.emulated, pytest.mark.keeps_cache]


def gate(contract: Path, baseline: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = [ROOT / "scripts/gate", contract, "--backend", "native", "--minimal", "--baseline", baseline, "--out", out]
    environment = {**os.environ, "EDGEDEPLOY": str(Path(sys.executable).with_name("edgedeploy"))}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=900)


def test_the_demo_is_no_more_work_than_it_was(tmp_path: Path) -> None:
    contract = hand_over(tmp_path / "handed over")
    done = gate(contract, ROOT / "scripts/demo_baseline.json", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "holds" in (tmp_path / "out/summary.md").read_text()
    for name in ("contract.xml", "baseline.xml"):
        assert sum(suite.failures for suite in JUnitXml.fromfile(str(tmp_path / "out" / name))) == 0
    # The same model, had it been one percent less work before.
    baseline = json.loads((ROOT / "scripts/demo_baseline.json").read_text())
    for run in baseline["entries"][0]["instructions"]:
        run.update({name: value / 1.01 for name, value in run.items()})
    stricter = tmp_path / "stricter.json"
    stricter.write_text(json.dumps(baseline))
    shutil.rmtree(tmp_path / "out")
    done = gate(contract, stricter, tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "instructions" in (tmp_path / "out/summary.md").read_text()
    # That line, and the whole.
    assert sum(suite.failures for suite in JUnitXml.fromfile(str(tmp_path / "out/baseline.xml"))) == 2
