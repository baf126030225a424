"""Whatever a picture's file holds, it is decoded in bounds or refused by name."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from edgedeploy.datasets.preprocessing.decode import MAX_PIXELS, decode_picture, read_class_mask
from edgedeploy.foundation.errors import DatasetError, HostError, InvalidFileError
from edgedeploy.values.preprocessing import ImagePreprocessing

Image = pytest.importorskip("PIL.Image")
RGB = ImagePreprocessing()


@pytest.fixture
def pixels(rng) -> np.ndarray:
    found: np.ndarray = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return found


def saved(path: Path, image, **options) -> Path:
    image.save(path, **options)
    return path


def png(width: int, height: int, rows: bytes, *, gray: bool = False, depth: int = 8) -> bytes:
    """A PNG file made by hand, so that it can lie."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, 0 if gray else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp"])
def test_lossless_pictures_come_as_they_were(tmp_path, pixels, name):
    path = saved(tmp_path / name, Image.fromarray(pixels), **({"lossless": True} if name == "a.webp" else {}))
    found = decode_picture(path, RGB)
    assert np.array_equal(found.pixels, pixels) and found.notes == ()
    assert np.array_equal(decode_picture(path, ImagePreprocessing(color="bgr")).pixels, pixels[..., ::-1])


def test_gray_is_luma_with_one_channel(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.full((2, 3, 3), (200, 100, 50), np.uint8)))
    found = decode_picture(path, ImagePreprocessing(color="gray")).pixels
    assert found.shape == (2, 3, 1)
    assert (found == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()  # ITU-R BT.601, 2.5.1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_its_exif_data_say(tmp_path, pixels, orientation):
    # EXIF 2.3, 4.6.4, A: where row 0 and column 0 of what is stored are to be seen.
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    assert np.array_equal(decode_picture(path, RGB).pixels, upright)
    assert np.array_equal(decode_picture(path, ImagePreprocessing(orientation=False)).pixels, pixels)


def test_broken_exif_data_do_not_make_it_unreadable(tmp_path, pixels):
    path = saved(tmp_path / "a.png", Image.fromarray(pixels), exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff\xff")
    assert np.array_equal(decode_picture(path, RGB).pixels, pixels)


def test_transparency_is_dropped_and_said(tmp_path, pixels):
    alpha = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)])
    found = decode_picture(saved(tmp_path / "a.png", Image.fromarray(alpha)), RGB)
    assert np.array_equal(found.pixels, pixels) and found.notes == ("transparency dropped",)


def test_of_sixteen_bits_the_upper_eight_are_taken(tmp_path):
    levels = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    found = decode_picture(saved(tmp_path / "a.png", Image.fromarray(levels)), ImagePreprocessing(color="gray"))
    assert found.pixels[0, :, 0].tolist() == [0, 0, 1, 156, 255]
    assert found.notes == ("upper 8 of 16 bits taken",)


def test_palettes_become_their_colors(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([1, 2, 3, 250, 100, 7])
    image.putdata([0, 1])
    assert decode_picture(saved(tmp_path / "a.png", image), RGB).pixels.tolist() == [[[1, 2, 3], [250, 100, 7]]]


def test_cmyk_becomes_rgb_and_is_said(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 0, 0, 0)))
    found = decode_picture(path, RGB)
    assert (found.pixels > 250).all() and "CMYK" in found.notes[0]


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_of_animated_pictures_the_first_frame_is_taken(tmp_path, name):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    found = decode_picture(tmp_path / name, RGB)
    assert found.pixels[0, 0].tolist() == [255, 0, 0] and "first of 2 frames taken" in found.notes


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.kron(pixels, np.ones((30, 30, 1), np.uint8))).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "part"), [("jpg", 0.1), ("jpg", 0.9), ("png", 0.1), ("png", 0.7)])
def test_a_truncated_file_is_refused(tmp_path, pixels, kind, part):
    content = jpeg(pixels) if kind == "jpg" else png(7, 5, b"".join(b"\0" + row.tobytes() for row in pixels))
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DatasetError, match=str(path)) as caught:
        decode_picture(path, RGB)
    assert caught.value.why and caught.value.hint


def test_damage_anywhere_is_an_error_or_a_picture(tmp_path, pixels, rng):
    """Never a traceback: decoders raise nearly anything."""
    path = tmp_path / "a.jpg"
    content = jpeg(pixels)
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            assert decode_picture(path, RGB).pixels.ndim == 3
        except DatasetError as error:
            assert str(path) in error.what


@pytest.mark.parametrize("content", [b"", b"some text\n", b"<svg/>", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused_whatever_its_name(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=str(path)) as caught:
        decode_picture(path, RGB)
    assert caught.value.hint


def test_a_missing_file_a_folder_and_a_pipe_are_told_apart(tmp_path):
    with pytest.raises(InvalidFileError, match="does not exist"):
        decode_picture(tmp_path / "none.png", RGB)
    with pytest.raises(InvalidFileError, match="is a folder"):
        decode_picture(tmp_path, RGB)


@pytest.mark.parametrize("extent", [(40_000, 40_000), (MAX_PIXELS + 1, 1), (9_500, 9_500)])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, extent):
    """The pixels of this file are nothing but 10 MB of zeros: what is in it is never looked at."""
    path = tmp_path / "a.png"
    path.write_bytes(png(*extent, bytes(10_000_000), gray=True))
    assert path.stat().st_size < 20_000
    with pytest.raises(DatasetError, match="too many pixels") as caught:
        decode_picture(path, RGB)
    assert f"{MAX_PIXELS:,}" in caught.value.why


def test_a_bomb_takes_no_memory(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(40_000, 40_000, bytes(50_000_000), gray=True))
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from edgedeploy.datasets.preprocessing.decode import decode_picture\n"
        "from edgedeploy.foundation.errors import DatasetError\n"
        "from edgedeploy.values.preprocessing import ImagePreprocessing\n"
        "import PIL.Image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode_picture(Path(sys.argv[1]), ImagePreprocessing())\n"
        "except DatasetError:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 20_000  # kB


def test_without_pillow_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(HostError, match="Pillow") as caught:
        decode_picture(tmp_path / "a.png", RGB)
    assert "pip install" in caught.value.hint and "pillow" in caught.value.hint


def test_masks_are_numbers_not_colors(tmp_path):
    image = Image.new("P", (2, 2))
    image.putpalette(bytes(range(256)) * 3)
    image.putdata([0, 1, 2, 255])
    assert read_class_mask(saved(tmp_path / "palette.png", image)).tolist() == [[0, 1], [2, 255]]
    gray = Image.fromarray(np.array([[3, 255]], np.uint8))
    assert read_class_mask(saved(tmp_path / "gray.png", gray)).tolist() == [[3, 255]]
    deep = Image.fromarray(np.array([[300, 65_535]], np.uint16))
    assert read_class_mask(saved(tmp_path / "deep.png", deep)).tolist() == [[300, 65_535]]
    with pytest.raises(DatasetError, match="no mask of classes"):
        read_class_mask(saved(tmp_path / "colors.png", Image.new("RGB", (2, 2))))
