"""What `data show` says of data, and what it warns of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image
from support.color_model import color_model
from support.pictures import BLUE, GREEN, RED, STRETCH, class_folders, coco, picture

from edgedeploy import api
from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DataSource
from edgedeploy.values.data_summary import DataSummary


def noisy(folder: Path, rng: np.random.Generator, *, count: int = 20, names: str = "abc", size: int = 8) -> Path:
    """Pictures of noise with the color of their class above it."""
    for number, name in enumerate(names):
        for each in range(count):
            levels = rng.integers(0, 100, (size, size, 3))
            levels[..., number] += 120
            path = folder / name / f"{each}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels.astype(np.uint8)).save(path)
    return folder


def shown(folder: Path, **keys: object) -> DataSummary:
    model = color_model(folder.parent / "model.onnx", background=bool(keys.pop("background", False)))
    calibration = keys.pop("calibration", None)
    source = DataSource(path=str(folder), **{"preprocessing": STRETCH, **keys})
    return api.data_show(source, model, calibration=calibration)


def test_what_data_is_and_holds(tmp_path, rng):
    summary = shown(noisy(tmp_path / "set", rng))
    assert (summary.format, summary.task, summary.samples) == ("imagefolder", "classification", 60)
    assert "sub-folder of pictures for each class" in summary.why
    assert [(each.name, each.count) for each in summary.classes] == [("a", 20), ("b", 20), ("c", 20)]
    assert summary.all_counted and summary.labels == "60 x numbers of classes"
    assert summary.picture_sizes == ((8, 8),)
    assert any("times 0.0039215686" in step for step in summary.preprocessing)
    (seen,) = summary.inputs
    assert (
        len(seen.channels) == 3
        and 0 <= seen.channels[0].minimum < seen.channels[0].mean < seen.channels[0].maximum <= 1
    )
    assert summary.warnings == ()


def test_sizes_are_the_smallest_the_middle_and_the_largest(tmp_path):
    for number, size in enumerate([(9, 9), (30, 20), (8, 16), (12, 12), (10, 10)]):
        picture(tmp_path / f"set/a/{number}.png", RED, size)
    assert shown(tmp_path / "set").picture_sizes == ((9, 9), (8, 16), (30, 20))


def test_swapped_channels_are_told_by_the_models_answers(tmp_path, rng):
    folder = noisy(tmp_path / "set", rng)
    (warning,) = shown(folder, preprocessing={"color": "bgr"}).warnings
    assert "top1 over 60 samples is 0.333 as declared and 1 with color = 'rgb': the channels look swapped" in warning


def test_classes_that_are_off_by_one_are_told(tmp_path, rng):
    folder = noisy(tmp_path / "set", rng)
    assert any(
        "1 with all numbers of classes larger by one" in each for each in shown(folder, background=True).warnings
    )
    rows = [f"{'abc'[kind]}/{number}.png,{kind + 1}" for kind in range(3) for number in range(20)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    said = shown(folder).warnings
    assert any(
        "labels go up to 3, and the model has 3 classes, 0 to 2: they seem to begin at 1" in each for each in said
    )


def test_pixels_that_were_not_scaled_are_told(tmp_path, rng):
    folder = noisy(tmp_path / "set", rng)
    assert any("models mostly take [0, 1]" in each for each in shown(folder, preprocessing={"scale": 1.0}).warnings)
    assert any("scaled twice?" in each for each in shown(folder, preprocessing={"scale": 1 / 65025}).warnings)


def test_one_class_and_one_color_are_told(tmp_path):
    warnings = shown(class_folders(tmp_path / "set", {"a": 4})).warnings
    assert any("all labels are of the class 0 (a)" in each for each in warnings)
    assert any("4 of 4 pictures are of a single color" in each for each in warnings)


def test_folders_that_are_numbers_are_told_to_be_ordered_as_text(tmp_path):
    folder = class_folders(tmp_path / "set", {str(number): 1 for number in (0, 1, 2, 10)})
    assert any("ordered as text" in each for each in shown(folder).warnings)


def test_values_beyond_the_calibration_data_are_told_and_channels_swapped_against_it(tmp_path):
    def hued(folder: Path, colors: list[tuple[int, int, int]]) -> Path:
        for number, color in enumerate(colors):
            picture(folder / f"{number}.png", color)
        return folder

    warm = hued(tmp_path / "warm", [(200, 100, 20), (180, 90, 40)])
    cold = hued(tmp_path / "cold", [(20, 100, 200), (40, 90, 180)])
    calibration = DataSource(path=str(warm), preprocessing={"scale": 1 / 510})
    said = shown(cold, calibration=calibration).warnings
    assert any("what lies outside is cut off" in each for each in said)
    assert any("look swapped against the calibration data" in each for each in said)
    assert not any(
        "calibration" in each
        for each in shown(warm, calibration=DataSource(path=str(warm), preprocessing=STRETCH)).warnings
    )


def test_the_contact_sheet_shows_what_the_model_sees(tmp_path):
    """Two pictures side by side, in the colors that they have, though the model gets them otherwise."""
    model = color_model(tmp_path / "model.onnx")
    folder = class_folders(tmp_path / "set", {"a": 1, "b": 1})
    source = DataSource(path=str(folder), preprocessing={"color": "bgr", "mean": (0.5,), "std": (0.25,)})
    sheet = tmp_path / "sheet.png"
    assert api.data_show(source, model, contact_sheet_file=sheet).contact_sheet == str(sheet)
    with Image.open(sheet) as image:
        found = {color for _, color in image.getcolors(1 << 20)}
    assert {RED, GREEN} <= found and BLUE not in found


def test_boxes_are_drawn_where_the_objects_are(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    folder = coco(tmp_path / "set", [{"bbox": [4, 2, 8, 4]}])
    sheet = tmp_path / "sheet.png"
    summary = api.data_show(DataSource(path=str(folder), preprocessing=STRETCH), model, contact_sheet_file=sheet)
    assert summary.labels == "1 x boxes" and [each.count for each in summary.classes] == [1, 0]
    with Image.open(sheet) as image:
        pixels = np.asarray(image)
    drawn = np.argwhere((pixels == (230, 25, 75)).all(axis=2))
    # The tile of 8 x 8 is enlarged 30 times, and begins behind a margin of 8; the box goes from 2 to 6.
    assert drawn.min(0).tolist() == [68, 68] and drawn.max(0).tolist() == [187, 187]


def test_arrays_are_looked_at_too(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=np.zeros((4, 3, 8, 8), np.float32), labels=np.array([0, 1, 2, 2]))
    summary = api.data_show(str(tmp_path / "data.npz"), model, contact_sheet_file=tmp_path / "sheet.png")
    assert (summary.format, summary.preprocessing) == ("npz", ())
    assert [each.count for each in summary.classes] == [1, 1, 2] and (tmp_path / "sheet.png").stat().st_size


def test_the_command_prints_it_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    color_model(tmp_path / "model.onnx")
    class_folders(tmp_path / "set", {"a": 2, "b": 2})
    (tmp_path / "set/a/000.png").write_bytes(b"no")
    words = ["data", "show", "set", "--model", "model.onnx", "--preset", "mobilenet-tf"]
    refused = CliRunner().invoke(cli, words, standalone_mode=False)
    assert isinstance(refused.exception, DatasetError)
    result = CliRunner().invoke(cli, [*words, "--skip-broken"], standalone_mode=False, catch_exceptions=False)
    assert result.return_value == 0
    for said in (
        "imagefolder: it has a sub-folder",
        "1 that cannot be read",
        "a/000.png",
        "0 (a): 2, 1 (b): 2",
        "! 3 of 3 pictures",
    ):
        assert said in result.stdout
