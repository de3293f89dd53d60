"""Small buckets: photos and metadata as the data set has them."""

import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def jpeg(
    shade: int = 0, size: tuple[int, int] = (48, 36), mode: str = "RGB", format: str = "JPEG", **how: Any
) -> bytes:
    """A picture whose top left is bright and whose content is a function of `shade`."""
    pixels = np.random.default_rng(shade).integers(0, 120, (size[1], size[0], 3), dtype=np.uint8)
    pixels[: size[1] // 3, : size[0] // 3] = 250
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, format, **how)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The first bytes of a PNG that claims this size, and of its pixels hardly one."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(40))
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, pixels))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def metadata(quantity: Any, *asins: str, **more: Any) -> bytes:
    """A metadata file that holds one item for each asin."""
    size = {"unit": "IN", "value": 2.5}
    items = {
        asin: {
            "asin": asin, "height": size, "length": size, "name": f"thing {asin}", "normalizedName": None, "quantity": 1,
            "weight": {"unit": "pounds", "value": 0.4}, "width": None,
        }
        for asin in asins
    }  # fmt: skip
    return json.dumps({"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": quantity, **more}).encode()


def bins(count: int = 45) -> dict[str, bytes]:
    """Keys and bodies of a small bucket: quantities 1 to 3 in turn, every third bin shares an item with the next."""
    bodies = {}
    for n in range(1, count + 1):
        bodies[f"metadata/{n:05}.json"] = metadata(1 + n % 3, f"A{n}", f"S{(n + 1) // 3 if n % 3 != 1 else -n}")
        bodies[f"bin-images/{n:05}.jpg"] = jpeg(n)
    return bodies


def mirror(bodies: Mapping[str, bytes], folder: Path) -> str:
    """The bodies as a folder; returns the bucket's URL."""
    for key, body in bodies.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)
    return str(folder)
