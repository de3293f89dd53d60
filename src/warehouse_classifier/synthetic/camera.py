"""From the drawing to the photo, as the camera in the warehouse takes it."""

import io

import numpy as np
from PIL import Image

from warehouse_classifier.synthetic.mark import MARK


def expose(image: Image.Image, random: np.random.Generator) -> bytes:
    """What the camera does: a warm, flat, dim exposure, light that falls off to the sides, noise. Returns the JPEG."""
    exposure, warmth, aside, haze, grain = random.random(5).tolist()
    gain, lift = (0.6 + 0.22 * exposure) * (1.04 - 0.12 * haze), 22 + 12 * haze
    curve = [
        int(min(255.0, lift * dark + level * gain * tint))
        for dark, tint in ((1.0, 1.0 + 0.06 * warmth), (0.8, 0.96), (0.72, 0.95 - 0.1 * warmth))
        for level in range(256)
    ]
    pixels = np.asarray(image.point(curve)).astype(np.uint16)
    across = np.arange(image.width, dtype=np.int64) - int(image.width * (0.35 + 0.3 * aside))
    pixels *= (256 - across * across * 60 // (image.width * image.width)).astype(np.uint16)[None, :, None]
    pixels >>= 8
    pixels += random.integers(0, 256, size=pixels.shape, dtype=np.uint8) >> (5 if grain < 0.4 else 4)
    body = io.BytesIO()
    Image.fromarray(np.minimum(pixels, 255).astype(np.uint8)).save(
        body, "JPEG", quality=85, subsampling="4:2:0", comment=MARK
    )
    return body.getvalue()
