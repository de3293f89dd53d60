"""One photo: from bytes that may be anything to a square RGB image, and back to bytes."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

# what Pillow has to say of odd EXIF goes to no one; here and not around each call, since filters are shared by all threads
warnings.filterwarnings("ignore", module=r"PIL\.")

FORMATS = ["JPEG", "PNG"]  # a PNG behind a .jpg does occur; nothing else is tried


def decode(body: bytes, max_pixels: int) -> Image.Image:
    """An upright RGB image. Raises ValueError with the reason for what is no photo or has more than `max_pixels`.

    The size is taken from the header, before anything is decoded: a few bytes can claim 60,000 pixels a side.
    """
    try:
        image = Image.open(io.BytesIO(body), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise ValueError(f"claims {image.width} x {image.height} pixels, more than {max_pixels} in all")
        image.load()
        upright = _upright(image)
        if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
            upright = upright.convert("I").point(lambda level: level / 257).convert("L")
        return upright.convert("RGB")
    except UnidentifiedImageError:
        raise ValueError(f"is no JPEG (it begins with {body[:12]!r})" if body else "is empty") from None
    except Image.DecompressionBombError:
        raise ValueError(f"claims far more than {max_pixels} pixels") from None
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 -- Pillow's decoders raise a dozen kinds for damaged files
        raise ValueError(f"is a damaged image ({error})") from None


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says. EXIF that cannot be read says nothing, and takes no photo away."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 -- struct.error, AttributeError and more
        return image


def square(image: Image.Image, side: int) -> Image.Image:
    """Stretch, never crop: a cropped item is a miscounted item. Antialiased bicubic."""
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC)


def encode(image: Image.Image, quality: int) -> bytes:
    """JPEG with full colour resolution: thin items are a pixel or two wide, and halved colour blurs them."""
    body = io.BytesIO()
    image.save(body, "JPEG", quality=quality, subsampling=0)
    return body.getvalue()
