from __future__ import annotations

import pytest

from edgedeploy.device.emulator.board import board_status, board_up
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.foundation.toml_file import load_toml
from edgedeploy.metrics.registry import find_metric
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.targets.load import load_target
from edgedeploy.values.contract import Contract


def test_the_nearest_name_is_guessed_and_nothing_is_where_none_is_near() -> None:
    assert did_you_mean("RPI9", ["rpi4", "jetson-nano"]) == "did you mean 'rpi4'?"
    assert did_you_mean("RPI9", ["rpi4"], "choose one") == "did you mean 'rpi4'? If not, choose one"
    assert did_you_mean("xyz", ["rpi4"], "choose one") == "choose one"
    assert did_you_mean("", ["rpi4"], "choose one") == "choose one"


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda: load_recipe("int-8"), "int8"),
        (lambda: load_target("rpi44"), "rpi4"),
        (lambda: find_metric("top-1"), "top1"),
        (lambda: board_up("rpi9"), "rpi"),
        (lambda: board_status("rp4"), "rpi4"),
    ],
)
def test_what_was_mistyped_is_guessed(ask, name) -> None:
    with pytest.raises(EdgedeployError) as caught:
        ask()
    assert f"did you mean '{name}" in caught.value.hint


def test_keys_and_passes_are_guessed(tmp_path) -> None:
    (tmp_path / "contract.toml").write_text("schema = 1\nlimts = 1\n")
    with pytest.raises(EdgedeployError) as caught:
        load_toml(tmp_path / "contract.toml", Contract)
    assert caught.value.hint.startswith("did you mean 'limits'? keys of this table: ")
    recipe = 'title = "x"\ndescription = "x"\n[[passes]]\nname = "quantize-statik"\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    with pytest.raises(EdgedeployError) as caught:
        load_recipe(str(tmp_path / "recipe.toml"))
    assert caught.value.hint.startswith("did you mean 'quantize-static'? one of: ")
