"""Draw labelled pictures for the image models of the corpus: text lines, pages, captchas, scattered characters, scenes.

Every function takes a number of samples and a seed and gives arrays with the samples along the first axis. The same
versions of Pillow and NumPy draw the same arrays. Words are the demo's: none stands in both of its lists, so
what calibrates and what evaluates share none.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fonts.ttf import font_files
from PIL import Image, ImageDraw, ImageFont

from edgedeploy.workflows.demo.text_lines import (
    CALIBRATION_WORDS,
    EVALUATION_WORDS,
    disturb,
    draw,
    draw_set,
    text_line,
)

Arrays = dict[str, np.ndarray]

PADDING = -1
"""Fills label rows behind the last character or box."""

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_SHRINK = 0.66
"""How far text areas are drawn in. PP-OCR's detector is taught r = 0.4 (Liao et al. 2020, DBNet,
https://arxiv.org/abs/1911.08947, section 3.4) from boxes with a margin around the ink; from the ink itself, 0.66 is
where its answers lie."""


def words_of(part: str) -> list[str]:
    """The words of `"calibration"` or `"evaluation"`."""
    return CALIBRATION_WORDS if part == "calibration" else EVALUATION_WORDS


def turned_lines(part: str, count: int, seed: int) -> Arrays:
    """For PP-OCR's direction classifier: x (count, 3, 48, 192) float32, labels (count,): 1 when turned by 180°."""
    x, labels = draw_set(words_of(part), _fonts(), count, seed)
    return {"x": x, "labels": labels}


def text_lines(part: str, count: int, seed: int, alphabet: Sequence[str], width: int = 320) -> Arrays:
    """For PP-OCR's recognizer.

    Args:
        part: `"calibration"` or `"evaluation"`.
        count: samples.
        seed: of the drawing.
        alphabet: the characters of the model's classes, in their order; class 0 is the CTC blank.
        width: of the padded line, in pixels; longer lines are left out.

    Returns:
        x: float32 (count, 3, 48, width), BGR, scaled to -1 … 1, zeros behind the line.
        labels: int64 (count, characters), class numbers, `PADDING` behind the last.
    """
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    # Amatic draws small letters as capitals: nobody can tell which were meant.
    fonts = [font for font in _fonts() if "Amatic" not in font]
    classes = {character: index for index, character in enumerate(alphabet)}
    x = np.zeros((count, 3, 48, width), dtype=np.float32)
    texts: list[list[int]] = []
    while len(texts) < count:
        line = text_line(words_of(part), rng)
        image = disturb(draw(line, _font(fonts, rng), rng), rng, noise)
        scaled_width = min(width, -(-image.width * 48 // image.height))
        if scaled_width == width or image.height < 22:
            continue  # would have to be narrowed, or is too small to be read
        scaled = np.asarray(image.resize((scaled_width, 48), Image.Resampling.BILINEAR), dtype=np.float32)
        x[len(texts), :, :, :scaled_width] = _half_centred(scaled)
        texts.append([classes[character] for character in line])
    return {"x": x, "labels": _padded(texts)}


def pages(part: str, count: int, seed: int, side: int = 320) -> Arrays:
    """For PP-OCR's detector: x (count, 3, side, side) float32; labels (count, side, side) uint8, 1 inside a text area.

    The areas are drawn in as the detector was taught: by A·(1 - r²)/L for a box of area A and circumference L.
    """
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    x = np.empty((count, 3, side, side), dtype=np.float32)
    labels = np.zeros((count, side, side), dtype=np.uint8)
    for index in range(count):
        image, boxes = _page(words_of(part), side, side, rng)
        pixels = np.asarray(image, dtype=np.float32)
        pixels = np.clip(np.rint(pixels + noise.normal(0, rng.choice((0, 4, 10)), pixels.shape)), 0, 255)
        x[index] = _half_centred(pixels.astype(np.float32))
        for left, top, right, bottom in boxes:
            wide, high = right - left, bottom - top
            inset = wide * high * (1 - _SHRINK**2) / (2 * (wide + high))
            rows = slice(round(top + inset), max(round(bottom - inset), round(top + inset) + 1))
            columns = slice(round(left + inset), max(round(right - inset), round(left + inset) + 1))
            labels[index, rows, columns] = 1
    return {"x": x, "labels": labels}


def turned_pages(part: str, count: int, seed: int, side: int = 224) -> Arrays:
    """For a page-orientation classifier: x (count, 3, side, side), labels (count,): quarter turns clockwise."""
    rng = random.Random(seed)
    x = np.empty((count, 3, side, side), dtype=np.float32)
    labels = np.arange(count, dtype=np.int64) % 4
    for index in range(count):
        image, _ = _page(words_of(part), 448, 448, rng, lines=rng.randint(6, 14))
        turned = image.rotate(-90 * int(labels[index]), expand=True)
        # As the package does it: the short side to 256 pixels, then the middle.
        scaled = turned.resize((256, 256), Image.Resampling.LANCZOS)
        edge = (256 - side) // 2
        x[index] = _imagenet(np.asarray(scaled.crop((edge, edge, edge + side, edge + side)), dtype=np.float32))
    return {"x": x, "labels": labels}


def captchas(count: int, seed: int, generator: type, alphabet: str, characters: int = 4) -> Arrays:
    """For a captcha recognizer: image (count, 3, 60, 160) float32 0 … 255 in BGR, labels (count, characters) int64.

    Args:
        count: samples.
        seed: of the drawing.
        generator: `captcha.image.ImageCaptcha`, which draws from Python's global random source.
        alphabet: class number to character.
        characters: of each captcha.
    """
    maker = generator(width=160, height=60)
    random.seed(seed)
    x = np.empty((count, 3, 60, 160), dtype=np.float32)
    labels = np.empty((count, characters), dtype=np.int64)
    usable = [index for index, character in enumerate(alphabet) if character.isalnum() and character not in "0O1I"]
    for index in range(count):
        labels[index] = random.choices(usable, k=characters)
        image = maker.generate_image("".join(alphabet[label] for label in labels[index])).convert("RGB")
        x[index] = np.asarray(image, dtype=np.float32)[:, :, ::-1].transpose(2, 0, 1)
    return {"image": x, "labels": labels}


def scattered_characters(count: int, seed: int, side: int = 416, most: int = 6) -> Arrays:
    """For a character detector (YOLOX): images (count, 3, side, side) float32 0 … 255 in BGR on grey 114 padding.

    labels: float32 (count, most, 4), boxes as left, top, right, bottom in pixels of the input; `PADDING` rows behind
    the last box. Captcha-like pictures, wider than high, as such detectors are made for.
    """
    rng, noise, fonts = random.Random(seed), np.random.default_rng(seed), _fonts()
    x = np.full((count, 3, side, side), 114, dtype=np.float32)
    labels = np.full((count, most, 4), PADDING, dtype=np.float32)
    for index in range(count):
        high = rng.choice((200, 240, 280))
        image = _scene(side, high, rng, noise)
        pen = ImageDraw.Draw(image)
        slots = rng.randint(3, most)
        for slot in range(slots):
            font = ImageFont.truetype(rng.choice(fonts), size=rng.randint(44, 60), layout_engine=ImageFont.Layout.BASIC)
            character = rng.choice(string.ascii_uppercase.replace("I", "") + "23456789")
            left, top, right, bottom = pen.textbbox((0, 0), character, font=font)
            room = side / slots
            x0 = round(slot * room + rng.uniform(0, max(1.0, room - (right - left))))
            y0 = round(rng.uniform(4, high - (bottom - top) - 4))
            ink = rng.choice(((250, 250, 250), (20, 20, 20), (220, 30, 30), (20, 40, 200)))
            pen.text((x0 - left, y0 - top), character, font=font, fill=ink, stroke_width=1)
            box = (x0, y0, x0 + right - left, y0 + bottom - top)
            labels[index, slot] = np.clip(box, 0, side)
        x[index, :, :high] = np.asarray(image, dtype=np.float32)[:, :, ::-1].transpose(2, 0, 1)
    return {"images": x, "labels": labels}


def scenes(count: int, seed: int, side: int) -> np.ndarray:
    """Pictures without labels: shapes and text before clouds. uint8 (count, side, side, 3), RGB."""
    rng, noise, fonts = random.Random(seed), np.random.default_rng(seed), _fonts()
    pictures = np.empty((count, side, side, 3), dtype=np.uint8)
    for index in range(count):
        image = _scene(side, side, rng, noise)
        if rng.random() < 0.5:
            word = rng.choice(EVALUATION_WORDS + CALIBRATION_WORDS)
            place = (rng.randint(0, side // 2), rng.randint(0, side - 30))
            ImageDraw.Draw(image).text(place, word, font=_font(fonts, rng), fill=(rng.randint(0, 255), 0, 0))
        pictures[index] = np.asarray(image)
    return pictures


def imagenet_scenes(count: int, seed: int, side: int = 224) -> np.ndarray:
    """`scenes` as networks trained on ImageNet take them: float32 (count, 3, side, side)."""
    return np.stack([_imagenet(picture.astype(np.float32)) for picture in scenes(count, seed, side)])


def _page(
    words: list[str], width: int, height: int, rng: random.Random, lines: int | None = None
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """A page with lines of text and the boxes they fill (left, top, right, bottom)."""
    paper = tuple(rng.randint(200, 255) for _ in range(3))
    image = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(image)
    fonts = _fonts()
    boxes = []
    top = rng.randint(8, 24)
    for _ in range(lines or rng.randint(3, 8)):
        font = ImageFont.truetype(rng.choice(fonts), size=rng.randint(14, 30), layout_engine=ImageFont.Layout.BASIC)
        text = text_line(words, rng)
        left, above, right, below = pen.textbbox((0, 0), text, font=font)
        while right - left > width - 16 and " " in text:
            text = text.rsplit(" ", 1)[0]
            left, above, right, below = pen.textbbox((0, 0), text, font=font)
        x = rng.randint(8, max(8, int(width - 8 - (right - left))))
        if top + below - above > height - 8:
            break
        ink = tuple(rng.randint(0, 90) for _ in range(3))
        pen.text((x - left, top - above), text, font=font, fill=ink)
        boxes.append((x, top, int(x + right - left), int(top + below - above)))
        top += int(below - above) + rng.randint(10, 34)
    return image, boxes


def _scene(width: int, height: int, rng: random.Random, noise: np.random.Generator) -> Image.Image:
    """Clouds of several sizes, with shapes before them."""
    layers = np.zeros((height, width, 3))
    for cells in (3, 9, 27):
        rough = Image.fromarray(noise.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layers += np.asarray(rough.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64) / cells
    layers = (layers - layers.min()) / max(float(np.ptp(layers)), 1e-6) * 255
    image = Image.fromarray(layers.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(0, 6)):
        x, y = rng.randint(0, width - 1), rng.randint(0, height - 1)
        box = (x, y, x + rng.randint(5, width // 2), y + rng.randint(5, height // 2))
        colour = tuple(rng.randint(0, 255) for _ in range(3))
        rng.choice((pen.rectangle, pen.ellipse))(box, fill=colour)
    return image


def _half_centred(pixels: np.ndarray) -> np.ndarray:
    """RGB (height, width, 3), 0 … 255 → BGR (3, height, width), -1 … 1."""
    blue_green_red = pixels[:, :, ::-1].transpose(2, 0, 1)
    scaled: np.ndarray = (blue_green_red / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    return scaled


def _imagenet(pixels: np.ndarray) -> np.ndarray:
    """RGB (height, width, 3), 0 … 255 → (3, height, width), by ImageNet's mean and deviation of each channel."""
    scaled: np.ndarray = ((pixels / np.float32(255) - _IMAGENET_MEAN) / _IMAGENET_DEVIATION).transpose(2, 0, 1)
    return scaled


def _padded(rows: list[list[int]]) -> np.ndarray:
    labels = np.full((len(rows), max(map(len, rows))), PADDING, dtype=np.int64)
    for index, row in enumerate(rows):
        labels[index, : len(row)] = row
    return labels


def _font(fonts: list[str], rng: random.Random) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(rng.choice(fonts), size=rng.randint(18, 44), layout_engine=ImageFont.Layout.BASIC)


def _fonts() -> list[str]:
    return [str(Path(path)) for _, path in sorted(font_files.items())]
