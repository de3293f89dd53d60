"""Which photos `check` calls unlike those that its networks learned from, of photos as they are and of spoilt ones.

    python benchmarks/outliers.py MODELS FOLDER [--most 300] [--only IDS.txt]

MODELS is a folder of trained models with a verifier, FOLDER holds photos; --only names a file of ids, one a line, such as those of
a test split. Each photo is spoilt in ways that the detector never learned from in this form: at its full size, by Pillow, and saved
again as a JPEG. Prints the share that is called unlike; photos of 224 x 224 pixels (squashed beforehand) and others stand apart.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from warehouse_classifier.dataset.photo import decode, encode, square
from warehouse_classifier.evaluation import calibration
from warehouse_classifier.verifier import folder

random = np.random.default_rng(0)
Way = Callable[[Image.Image], Image.Image]


def lit(image: Image.Image, gain: float | tuple[float, ...], grain: float = 0.0) -> Image.Image:
    """Brighter or darker by `gain`, of each colour, with noise."""
    values = np.asarray(image) * np.asarray(gain)
    return Image.fromarray((values + random.normal(0, grain or 1e-9, values.shape)).clip(0, 255).astype(np.uint8))


def another_camera(image: Image.Image) -> Image.Image:
    """Bluish, contrasty, noisy, out of focus."""
    values = (
        (np.asarray(image) * np.array([0.75, 1.0, 1.25]) - 128) * 1.3
        + 110
        + random.normal(0, 18, (*image.size[::-1], 3))
    )
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))


def askew(image: Image.Image) -> Image.Image:
    """Seen from the side."""
    width, height = image.size
    corners = (
        -0.15 * width,
        -0.1 * height,
        0.1 * width,
        1.1 * height,
        0.9 * width,
        0.95 * height,
        1.2 * width,
        -0.2 * height,
    )
    return image.transform((width, height), Image.Transform.QUAD, corners)


def screenshot(image: Image.Image) -> Image.Image:
    """A page of an inventory with the photo in it."""
    page = Image.new("RGB", (1280, 800), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 1280, 60), fill=(40, 60, 120))
    for row in range(12):
        draw.text((40, 90 + row * 50), f"bin {row * 7:05} expected quantity: {row % 5}", fill="black")
        draw.rectangle((500, 90 + row * 50, 780, 120 + row * 50), fill=(230, 230, 240))
    page.paste(image.resize((400, 400)), (820, 200))
    return page


WAYS: dict[str, Way] = {
    "as they are": lambda image: image,
    "a quarter turn": lambda image: image.rotate(90, expand=True),
    "a quarter turn back": lambda image: image.rotate(270, expand=True),
    "upside down": lambda image: image.rotate(180),
    "a dark frame": lambda image: lit(image, 0.12),
    "dim": lambda image: lit(image, 0.3),
    "black": lambda image: Image.new("RGB", image.size, (3, 3, 4)),
    "another camera": another_camera,
    "warmer light": lambda image: lit(image, (1.2, 1.0, 0.7)),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "noise": lambda image: lit(image, 1.0, 40.0),
    "out of focus": lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 40)),
    "from the side": askew,
    "a screenshot": screenshot,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=300)
    parser.add_argument("--only", type=Path)
    arguments = parser.parse_args()
    detector = folder.load_outliers(arguments.models / "verifier")
    point = calibration.load(arguments.models)
    files = sorted(arguments.folder.rglob("*.jpg"))
    if arguments.only:
        wanted = {*arguments.only.read_text().split()}
        files = [file for file in files if file.stem in wanted]
    files = files[:: max(1, len(files) // arguments.most)][: arguments.most]
    squashed = np.array([Image.open(file).size == (224, 224) for file in files])
    print(f"learned from {point.learned_from}; {len(files)} photos, {squashed.sum()} of them of 224 x 224 pixels")
    for name, way in WAYS.items():
        found = []
        for file in files:
            body = io.BytesIO()
            way(Image.open(file).convert("RGB")).save(body, "JPEG", quality=90)
            small = square(decode(body.getvalue(), 10**8), point.side)
            found.append(bool(detector.unlike(decode(encode(small, point.quality), 10**8)[None])[0]))
        shares = [np.mean(found), *(np.mean(np.array(found)[kind]) for kind in (squashed, ~squashed) if kind.any())]
        print(f"  {name:20}" + "".join(f"{share:8.1%}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
