"""What is said where the package that reads some data is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.sounds import save_sound, tone

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import HostError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("data.parquet", "pyarrow.parquet", "parquet"),
        ("sounds", "soundfile", "audio"),
        ("data.jsonl", "tokenizers", "text"),
    ],
)
def test_the_line_that_installs_it_is_given(tmp_path, monkeypatch, name, module, extra):
    save_sound(tmp_path / "sounds/a.wav", tone(0.1))
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, module, None)  # as Python finds what is not installed
    dtype = "int64" if extra == "text" else "float32"
    tokenizer = {"tokenizer": str(tmp_path / "tokenizer.json")} if extra == "text" else {}
    source = DataSource(path=str(tmp_path / name), preprocessing=tokenizer)
    with pytest.raises(HostError, match=f"the Python package {module.partition('.')[0]} is needed") as caught:
        open_dataset(source, [TensorFacts(name="x", dtype=dtype, shape=("N", "T"))])
    assert "-m pip install" in caught.value.hint and module.partition(".")[0] in caught.value.hint


def test_finding_a_reader_loads_none_of_their_libraries(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x\n1\n")
    program = f"""
import sys
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.values.model import TensorFacts
assert open_dataset({str(tmp_path / "data.csv")!r}, [TensorFacts(name="x", dtype="float32", shape=("N",))]).count == 1
print([name for name in ("soundfile", "soxr", "tokenizers", "pyarrow", "PIL") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
