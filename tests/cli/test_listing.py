"""A bad file of the user's own is listed as such, and hides none of the others; to use it is the error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError
from edgedeploy.foundation.files import config_folder
from edgedeploy.optimize.recipes.recipe import load_recipe, recipe_names
from edgedeploy.targets.load import load_target, target_names

LISTS = {"recipes": ("quantize", "int8", load_recipe), "targets": ("targets", "rpi4", load_target)}


def text(content: bytes):
    return lambda path: path.write_bytes(content)


BAD = {
    "no-toml": (text(b"x = ["), "is not valid TOML"),
    "empty": (text(b""), "missing required field `title`"),
    "unknown": (text(b"colour = 1\n"), "unknown key"),
    "latin": (text(b'title = "\xe9"\n'), "is not a text file in UTF-8"),
    "folder": (Path.mkdir, "is no file"),
    "dangling": (lambda path: path.symlink_to("/not/there"), "is a link to a file that is not there"),
}


@pytest.fixture(params=LISTS)
def listed(request):
    """The command, a file of edgedeploy's own, what loads one by name, and the user's folder with all bad files."""
    folder, own, load = LISTS[request.param]
    place = config_folder() / folder
    place.mkdir(parents=True)
    for name, (make, _) in BAD.items():
        make(place / f"{name}.toml")
    return request.param, own, load


def test_bad_files_are_listed_with_their_reasons_below_the_good_ones(listed):
    command, own, _ = listed
    done = CliRunner().invoke(cli, [command], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.exception
    lines = done.output.splitlines()
    assert any(line.startswith(own) for line in lines)
    for name, (_, why) in BAD.items():
        assert any(line.startswith(f"{name}: cannot be used: ") and why in line for line in lines), done.output


def test_json_has_them_too(listed):
    command, own, _ = listed
    done = CliRunner().invoke(cli, [command, "--json"])
    found = {entry["name"]: entry for entry in json.loads(done.output)}
    assert "invalid" not in found[own]
    for name, (_, why) in BAD.items():
        assert why in found[name]["invalid"]


@pytest.mark.parametrize("name", BAD)
def test_to_use_one_is_the_error(listed, name):
    command, _, load = listed
    with pytest.raises(InvalidFileError, match=BAD[name][1]):
        load(name)
    assert isinstance(CliRunner().invoke(cli, [command, name]).exception, EdgedeployError)


def test_names_are_told_without_reading_the_files():
    for folder, names in (("quantize", recipe_names), ("targets", target_names)):
        place = config_folder() / folder
        place.mkdir(parents=True)
        (place / "broken.toml").write_bytes(b"x = [")
        assert "broken" in names()


def test_a_link_to_nothing_does_not_hide_what_edgedeploy_ships():
    place = config_folder() / "targets"
    place.mkdir(parents=True)
    (place / "rpi4.toml").symlink_to("/not/there")
    assert load_target("rpi4").name == "rpi4"
