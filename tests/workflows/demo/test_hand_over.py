"""The demo's files: fetched by name, drawn once, whole or not there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgedeploy import api
from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import HostError
from edgedeploy.workflows.demo import hand_over
from edgedeploy.workflows.demo.hand_over import demo_hand_over

ROOT = Path(__file__).parents[3]
LOCK = Path(hand_over.__file__).with_name("demo.lock")


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+) ", lock.read_text(encoding="ascii"), re.MULTILINE))


def test_it_is_drawn_with_what_the_tests_draw_with() -> None:
    of_demo, of_tests = pins(LOCK), pins(ROOT / "requirements-dev.lock")
    assert set(of_demo) - set(of_tests) == {"rapidocr-onnxruntime"}
    assert of_demo.items() - of_tests.items() == {("rapidocr-onnxruntime", of_demo["rapidocr-onnxruntime"])}


@pytest.mark.slow
@pytest.mark.keeps_cache
def test_it_passes_its_own_contracts_check_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a folder's name"
    contract = demo_hand_over(folder)
    api.check_hand_over(api.load_contract(contract))
    with np.load(folder / "evaluation.npz") as data:
        assert data["x"].shape == (600, 3, 48, 192) and data["labels"].mean() == 0.5
    drawn = (folder / "evaluation.npz").stat()
    demo_hand_over(folder)
    assert (folder / "evaluation.npz").stat().st_ino == drawn.st_ino
    before = (folder / "calibration.npz").read_bytes()
    (folder / "calibration.npz").unlink()
    demo_hand_over(folder)
    assert (folder / "calibration.npz").read_bytes() == before


def test_without_a_network_it_says_what_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CACHE_HOME", "UV_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(HostError, match="the demo's packages cannot be fetched") as caught:
        demo_hand_over(tmp_path / "demo")
    assert "UV_DEFAULT_INDEX" in caught.value.hint
    assert not (tmp_path / "demo").exists()
    assert not list((tmp_path / "XDG_CACHE_HOME").rglob("*.onnx"))


@pytest.mark.parametrize("more", [["--to", "local:"], ["--keep-board"]])
def test_files_alone_go_to_no_device(more: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "demo"), "--only-files", *more])
    assert done.exit_code == 2 and "--only-files" in done.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.keeps_cache
def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    with pytest.raises(HostError, match="cannot be written"):
        demo_hand_over(tmp_path / "demo")
