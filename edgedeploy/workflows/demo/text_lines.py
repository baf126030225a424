"""Draw the labeled text lines of the demo: an evaluation set, and a calibration set that shares no word with it.

Usage: python text_lines.py FOLDER [--evaluation 600] [--calibration 128] [--preview FILE.png]

Each sample is one line of text in one of several fonts, sizes, colours and noises, upright (label 0) or turned by 180°
(label 1), made ready for the PP-OCR text-direction classifier as PaddleOCR does it: scaled to 48 pixels of height, at
most 192 of width, BGR, (value / 255 - 0.5) / 0.5, zeros to the right of a short line
(https://github.com/PaddlePaddle/PaddleOCR, tools/infer/predict_cls.py, `resize_norm_img`).

Seeded: the same versions of Pillow and NumPy draw the same arrays, whatever libraries the system has.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from fonts.ttf import font_files
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HEIGHT, WIDTH = 48, 192

# The text of signs, labels, invoices and book spines: what such a classifier meets. No word stands in both sets.
EVALUATION_WORDS = """
Address Airport Amount Arrival Balance Bakery Blue Bridge Building Calcium Camera Capital Careful Chapter Coffee
Contents Copyright Customer Danger Delivery Department Distance Driver East Electric Elevator Emergency Engine
Entrance Evening Exit Express Factory Final Fragile Freight Gallery Garden Gate General Handle Harbour Height Hospital
Hotel Import Index Invoice Island January Keep Kitchen Laboratory Language Left Library Machine Market Maximum Memory
Minute Monday Museum Nature Network Notice Number Office Open Order Oxygen Package Paper Parking Passenger Platform
Police Power Pressure Private Product Quality Railway Receipt Red Repair Reserved River Safety Saturday School Serial
Service Sodium Speed Station Storage Street Summer Supply Switch Table Telephone Temperature Ticket Total Tower
Transport University Valley Version Voltage Warning Water Weight Window Winter Yellow Zone
""".split()
CALIBRATION_WORDS = """
Account Afternoon Ambient Angle Apple Attention August Battery Beach Black Bottle Branch Bread Button Cabinet Canal
Caution Central Century Charge Circuit City Clinic Closed College Current Daily Date December Design Detail Document
Double Edition Energy Equipment Error Export Fabric February Field Fire Floor Forest Friday Fuel Glass Gold Green
Hammer Health Heavy Horizon House Hydrogen Insurance Iron June Kettle Ladder Lamp Length Level Light Limited Magnet
Manual March Medical Metal Model Motor Mountain Music Nitrogen North Notebook October Orange Orchard Palace Panel
Patent Pepper Photo Piano Pilot Plant Pocket Printer Public Radio Rain Record Return Right Road Rubber Sample Sensor
September Signal Silver South Spring Square Steel Sugar Sunday Surface Theatre Thunder Timber Traffic Tuesday Turn
Valve Village Wagon West White Wire Yard
""".split()


def text_line(words: list[str], rng: random.Random) -> str:
    """One to three words, or a word with a number, date, price or code, as signs and papers have them."""
    kind = rng.random()
    if kind < 0.60:
        line = " ".join(rng.choices(words, k=rng.randint(1, 3)))
    elif kind < 0.75:
        line = f"{rng.choice(words)} {rng.randint(2, 9999)}"
    elif kind < 0.90:
        line = f"{rng.choice(words)}: {rng.randint(1, 999)}.{rng.randint(10, 99)}"
    else:
        line = f"{rng.choice(words)} No. {rng.randint(100, 999)}-{rng.randint(10, 99)}"
    return rng.choice((str, str, str.upper, str.lower))(line)


def draw(line: str, font: ImageFont.FreeTypeFont, rng: random.Random) -> Image.Image:
    """The line in dark on light or light on dark, with margins like a text detector leaves."""
    left, top, right, bottom = font.getbbox(line)
    margins = [rng.randint(1, 6) for _ in range(4)]
    size = (int(right - left) + margins[0] + margins[1], int(bottom - top) + margins[2] + margins[3])
    paper = [rng.randint(160, 255) for _ in range(3)]
    ink = [rng.randint(0, 90) for _ in range(3)]
    if rng.random() < 0.25:
        paper, ink = ink, paper
    image = Image.new("RGB", size, tuple(paper))
    ImageDraw.Draw(image).text((margins[0] - left, margins[2] - top), line, font=font, fill=tuple(ink))
    return image


def disturb(image: Image.Image, rng: random.Random, noise: np.random.Generator) -> Image.Image:
    """What a camera and a detector do to a line: a slight tilt, blur, few pixels, sensor noise."""
    image = image.rotate(
        rng.uniform(-2.5, 2.5), resample=Image.Resampling.BILINEAR, expand=False, fillcolor=image.getpixel((0, 0))
    )
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.3:
        factor = rng.uniform(0.35, 0.8)
        small = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
        image = image.resize(small, Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.float64)
    pixels = pixels + noise.normal(0.0, rng.choice((0.0, 6.0, 14.0, 26.0)), pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def prepare(image: Image.Image) -> np.ndarray:
    """The classifier's input: float32, shape (3, 48, 192)."""
    width = min(WIDTH, max(1, -(-image.width * HEIGHT // image.height)))
    scaled = image.resize((width, HEIGHT), Image.Resampling.BILINEAR)
    blue_green_red = np.asarray(scaled, dtype=np.float32)[:, :, ::-1].transpose(2, 0, 1)
    prepared = np.zeros((3, HEIGHT, WIDTH), dtype=np.float32)
    prepared[:, :, :width] = (blue_green_red / np.float32(255.0) - np.float32(0.5)) / np.float32(0.5)
    return prepared


def draw_set(words: list[str], fonts: list[str], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` samples: x float32 (count, 3, 48, 192) and labels int64 (count,), as many upright as turned."""
    rng = random.Random(seed)  # noqa: S311 - pictures are no secrets
    noise = np.random.default_rng(seed)
    x = np.empty((count, 3, HEIGHT, WIDTH), dtype=np.float32)
    labels = np.arange(count, dtype=np.int64) % 2
    for index in range(count):
        # The basic layout is Pillow's own; the other one is there or not, as the system has it, and draws otherwise.
        layout = ImageFont.Layout.BASIC
        font = ImageFont.truetype(rng.choice(fonts), size=rng.randint(18, 44), layout_engine=layout)
        image = disturb(draw(text_line(words, rng), font, rng), rng, noise)
        if labels[index]:
            image = image.transpose(Image.Transpose.ROTATE_180)
        x[index] = prepare(image)
    return x, labels


def preview(x: np.ndarray, path: Path, columns: int = 6) -> None:
    """Write the first samples as one picture, to be looked at."""
    tiles = ((x[: columns * 8, ::-1].transpose(0, 2, 3, 1) * 0.5 + 0.5) * 255).round().astype(np.uint8)
    rows = [np.concatenate(list(tiles[i : i + columns]), axis=1) for i in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--evaluation", type=int, default=600, metavar="N", help="samples to evaluate on (600)")
    parser.add_argument("--calibration", type=int, default=128, metavar="N", help="samples to calibrate on (128)")
    parser.add_argument("--preview", type=Path, metavar="FILE.png", help="also draw the first samples as a picture")
    arguments = parser.parse_args()
    fonts = [path for _, path in sorted(font_files.items())]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, words, count, seed in (
        ("evaluation", EVALUATION_WORDS, arguments.evaluation, 20260101),
        ("calibration", CALIBRATION_WORDS, arguments.calibration, 20260202),
    ):
        x, labels = draw_set(words, fonts, count, seed)
        temporary = arguments.folder / f".{name}.partial.npz"
        np.savez_compressed(temporary, x=x, labels=labels)
        temporary.replace(arguments.folder / f"{name}.npz")
        print(f"{name}.npz: {count} text lines, {labels.mean():.0%} turned, {len(fonts)} fonts")
        if arguments.preview and name == "evaluation":
            preview(x, arguments.preview)


if __name__ == "__main__":
    main()
