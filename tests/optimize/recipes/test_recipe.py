from __future__ import annotations

import pytest

from edgedeploy.foundation.errors import InvalidFileError, UnknownNameError
from edgedeploy.foundation.files import config_folder
from edgedeploy.optimize.recipes.recipe import load_recipe, recipe_names
from edgedeploy.optimize.simplify.upgrade_opset import UpgradeOpset

HEAD = 'title = "t"\ndescription = "d"\n'


def test_the_recipes_that_are_shipped():
    assert {"fold", "int8", "int8-dynamic"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name and recipe.title and recipe.description and recipe.passes
    assert load_recipe("int8").needs_calibration
    assert not load_recipe("int8-dynamic").needs_calibration
    assert load_recipe("int8").tolerance is None
    tolerance = load_recipe("fold").tolerance
    assert tolerance is not None and tolerance <= 1e-3


def test_settings_are_read(tmp_path):
    (tmp_path / "mine.toml").write_text(HEAD + '[[passes]]\nname = "upgrade-opset"\nto = 15\n')
    assert load_recipe(str(tmp_path / "mine.toml")).passes == (UpgradeOpset(to=15),)


def test_the_users_own_folder_comes_first():
    folder = config_folder() / "quantize"
    folder.mkdir(parents=True)
    (folder / "fold.toml").write_text(HEAD + '[[passes]]\nname = "upgrade-opset"\n')
    (folder / "mine.toml").write_text(HEAD + '[[passes]]\nname = "fold-constants"\n')
    assert load_recipe("fold").title == "t"
    assert "mine" in recipe_names()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + '[[passes]]\nname = "fold-constants"\n\n[[passes]]\nname = "fold-constats"\n', 7, "fold-constats"),
        (HEAD + '[[passes]]\nname = "upgrade-opset"\nto = "17"\n', 5, r"passes\[0\].to: expected `int`"),
        (
            HEAD + '[[passes]]\nname = "fold-affine"\n[[passes]]\nname = "quantize-static"\nper_chanel = 1\n',
            7,
            "per_chanel",
        ),
        (HEAD + '[[passes]]\nname = "upgrade-opset"\nto = 3\n', 3, "to must lie between"),
        (HEAD + '[[passes]]\nname = "quantize-static"\noperators = ["Conv", "LSTM"]\n', 5, "LSTM"),
        (HEAD + 'colour = "red"\n[[passes]]\nname = "fold-constants"\n', 3, "colour"),
        (HEAD + "passes = []\n", 1, "at least one"),
        (HEAD + "[[passes]]\nto = 17\n", 3, "missing required field `name`"),
        ('title = "t"\n', 1, "missing required field"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path, text, line, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InvalidFileError, match=message) as caught:
        load_recipe(str(path))
    assert caught.value.what.startswith(f"{path}:{line}:")


def test_the_mend_lists_what_there_is(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(HEAD + '[[passes]]\nname = "fold"\n')
    with pytest.raises(InvalidFileError) as caught:
        load_recipe(str(path))
    assert "fold-constants" in caught.value.hint
    path.write_text(HEAD + '[[passes]]\nname = "quantize-static"\nfoo = 1\n')
    with pytest.raises(InvalidFileError) as caught:
        load_recipe(str(path))
    assert "per_channel" in caught.value.hint


def test_unknown_names(tmp_path):
    with pytest.raises(UnknownNameError, match="no recipe 'int9'"):
        load_recipe("int9")
    with pytest.raises(InvalidFileError, match="does not exist"):
        load_recipe(str(tmp_path / "nothing.toml"))
