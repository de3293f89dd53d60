"""One photo: from bytes that may be anything to square RGB pixels, and back to bytes."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

# what Pillow has to say of odd EXIF goes to no one; here and not around each call, since filters are shared by all threads
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = npt.NDArray[np.uint8]

FORMATS = ["JPEG", "PNG"]  # a PNG behind a .jpg does occur; nothing else is tried
UNUSUAL = "Could not determine subsampling"  # what simplejpeg says of JPEGs that are whole, and too rare for it
OURS = 1 << 24  # pixels; resize_images makes no side above 2,048
UPRIGHT: dict[Any, Callable[[Pixels], Pixels]] = {  # by EXIF orientation
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


def decode(body: bytes, max_pixels: int) -> Pixels:
    """Upright RGB [H, W, 3]. Raises ValueError with the reason for what is no photo, damaged or above `max_pixels`."""
    image = _header(body, max_pixels)
    try:
        pixels = _by_pillow(image) if image.format == "PNG" else _jpeg(body, image)
    except MemoryError:  # says nothing of the photo
        raise
    except Exception as error:  # noqa: BLE001 -- Pillow's decoders raise a dozen kinds for damaged files
        raise ValueError(f"is a damaged image ({_line(error)})") from None
    return np.ascontiguousarray(_upright(pixels, image))


def decode_into(body: bytes, out: Pixels) -> None:
    """What `encode` has made, straight into `out` [H, W, 3]: no second look at the header, and no copy.

    Raises ValueError as `decode` does, and for another size; `out` then holds nothing of use.
    """
    try:
        pixels = simplejpeg.decode_jpeg(body, "RGB", strict=True, buffer=out)
    except ValueError:  # `decode` knows what is wrong, or another way
        pixels = decode(body, OURS)
        if pixels.shape == out.shape:
            out[:] = pixels
    if pixels.shape != out.shape:
        raise ValueError(f"has {pixels.shape[1]} x {pixels.shape[0]} pixels and not {out.shape[1]} x {out.shape[0]}")


def square(pixels: Pixels, side: int) -> Pixels:
    """Stretch [H, W, 3] to [side, side, 3], never crop: a cropped item is a miscounted item. Antialiased bicubic.

    torch does this on uint8, as exactly as Pillow and 4 times as fast, and in the calling thread alone.
    """
    if pixels.shape[:2] == (side, side):
        return pixels
    import torch  # takes seconds, and who only decodes needs none of it
    from torch.nn.functional import interpolate

    image = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # channels last in memory: half the time, no copy
    small = interpolate(image, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())


def encode(pixels: Pixels, quality: int) -> bytes:
    """JPEG with full colour resolution: thin items are a pixel or two wide, and halved colour blurs them.

    By Pillow: simplejpeg knows only the fast cosine transform up to a quality of 95. It saves 3 % of the time of a photo
    from bytes to bytes, and costs 0.7 dB and 0.7 % more bytes for as long as they are kept (real photos at 224 pixels).
    """
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, "JPEG", quality=quality, subsampling=0)
    return body.getvalue()


def _header(body: bytes, max_pixels: int) -> Image.Image:
    """The image, undecoded. Its size is looked at before anything is decoded: few bytes can claim 60,000 pixels a side."""
    try:
        image = Image.open(io.BytesIO(body), formats=FORMATS)  # 18 microseconds, where decoding takes 750
    except UnidentifiedImageError:
        raise ValueError(f"is no JPEG (it begins with {body[:12]!r})" if body else "is empty") from None
    except Image.DecompressionBombError:
        raise ValueError(f"claims far more than {max_pixels} pixels") from None
    except MemoryError:  # says nothing of the photo
        raise
    except Exception as error:  # noqa: BLE001 -- as above
        raise ValueError(f"is a damaged image ({_line(error)})") from None
    if image.width * image.height > max_pixels:
        raise ValueError(f"claims {image.width} x {image.height} pixels, more than {max_pixels} in all")
    return image


def _jpeg(body: bytes, image: Image.Image) -> Pixels:
    """By simplejpeg, which is faster than Pillow, and `strict`: it refuses what Pillow mends in silence."""
    # no more than the header that was looked at: a file can have two of them
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    try:
        shape = simplejpeg.decode_jpeg(body, "RGB", strict=True, buffer=pixels).shape
    except ValueError as error:
        if UNUSUAL in str(error):
            return _by_pillow(image)
        raise
    if shape != pixels.shape:
        raise ValueError("it has headers of two sizes")
    return pixels


def _by_pillow(image: Image.Image) -> Pixels:
    image.load()
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        image = image.convert("I").point(lambda level: level / 257).convert("L")
    return np.array(image.convert("RGB"))


def _upright(pixels: Pixels, image: Image.Image) -> Pixels:
    """Turned as the EXIF says. EXIF that cannot be read says nothing, and takes no photo away."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001 -- struct.error, AttributeError and more
        return pixels
    return turn(pixels) if turn else pixels


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
