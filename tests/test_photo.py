"""One photo: upright, RGB, square and stretched; or the reason why it is none."""

import io
import random
import resource
import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import jpeg
from warehouse_classifier.photo import decode, encode, square

MANY = 10_000_000
ROTATED = {  # EXIF orientation: what has been done to an upright picture before it was stored
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


def stored(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], format: str = "PNG", **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **how)
    return out.getvalue()


def reason(body: bytes, max_pixels: int = MANY) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        decode(body, max_pixels)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def claims(side: int) -> bytes:
    """A JPEG of 48 x 36 whose header says `side` x `side`."""
    body = bytearray(jpeg())
    at = body.index(b"\xff\xc0")
    body[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(body)


def png_claims(side: int) -> bytes:
    body = bytearray(jpeg(format="PNG"))
    body[16:24] = struct.pack(">II", side, side)
    body[29:33] = struct.pack(">I", zlib.crc32(body[12:29]))
    return bytes(body)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_any_colours_is_rgb(mode: str) -> None:
    image = decode(jpeg(1, mode=mode, quality=95), MANY)
    assert (image.mode, image.size) == ("RGB", (48, 36))
    pixels = np.asarray(image).astype(int)
    assert pixels[2:10, 2:14].min() > 225
    assert pixels[20:, 20:].mean() < 100


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_a_png_behind_a_jpg_is_taken(mode: str) -> None:
    image = decode(jpeg(1, mode=mode, format="PNG"), MANY)
    assert (image.mode, image.size) == ("RGB", (48, 36))
    assert np.asarray(image)[2:10, 2:14].min() > 200


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    grey = np.array([[0, 2570, 25700, 65535]] * 3, np.uint16)
    assert np.asarray(decode(stored(grey), MANY))[1, :, 0].tolist() == [0, 10, 100, 255]


@pytest.mark.parametrize("orientation", ROTATED)
def test_a_photo_stands_upright(orientation: int) -> None:
    upright = np.random.default_rng(1).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = stored(np.ascontiguousarray(ROTATED[orientation](upright)), exif=exif)
    assert np.array_equal(np.asarray(decode(body, MANY)), upright)
    as_jpeg = stored(np.ascontiguousarray(ROTATED[orientation](upright)), "JPEG", exif=exif)
    assert decode(as_jpeg, MANY).size == (6, 4)


def test_what_is_no_photo_has_its_reason() -> None:
    assert reason(b"") == "is empty"
    assert reason(b"<html><body>503 Slow Down") == "is no JPEG (it begins with b'<html><body>')"
    for other in ("GIF", "BMP", "TIFF", "WEBP"):
        assert reason(jpeg(format=other)).startswith("is no JPEG (")
    body = jpeg(1, (200, 150))
    for cut in (3, 30, 300, len(body) // 2, len(body) - 100):
        assert reason(body[:cut]).startswith(("is a damaged image (", "is no JPEG ("))
    assert reason(body[: len(body) // 2]).startswith("is a damaged image (image file is truncated")


@pytest.mark.parametrize(
    ("body", "side"), [(claims(60_000), 60_000), (png_claims(60_000), 60_000), (claims(9_000), 9_000)]
)
def test_a_photo_that_claims_too_much_is_not_decoded(body: bytes, side: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = reason(body, 50_000_000)
    assert said.startswith("claims ")
    assert "more than 50000000" in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    if side < 10_000:
        assert said.startswith("claims 9000 x 9000 pixels")


def test_the_limit_is_the_pixels_that_are_allowed() -> None:
    body = jpeg(size=(100, 100))
    assert decode(body, 10_000).size == (100, 100)
    assert reason(body, 9_999) == "claims 100 x 100 pixels, more than 9999 in all"


GOOD = [
    jpeg(1), jpeg(1, progressive=True), jpeg(1, mode="CMYK"), jpeg(1, format="PNG"), jpeg(1, mode="P", format="PNG"),
    jpeg(1, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_odd_exif_takes_no_photo_away(seed: int) -> None:
    """An orientation, which has Pillow write the EXIF anew, beside tags that it cannot write."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x829A], exif[0x0110] = 6, "a bin", 0.5, b"\x01\x02"
    exif.get_ifd(0x8769)[0x9286] = b"comment"
    spoilt = bytearray(exif.tobytes())
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 6)):
        spoilt[rng.randrange(6, len(spoilt))] = rng.randrange(256)
    assert sorted(decode(jpeg(1, exif=bytes(spoilt)), MANY).size) == [36, 48]


@settings(max_examples=200, deadline=None)
@given(body=st.sampled_from(GOOD), seed=st.integers(0, 1 << 32), junk=st.binary(max_size=40))
def test_a_damaged_photo_is_an_image_or_a_reason(body: bytes, seed: int, junk: bytes) -> None:
    rng = random.Random(seed)
    flipped = bytearray(body)
    for _ in range(rng.randint(1, 10)):
        flipped[rng.randrange(min(len(body), rng.choice([40, 300, 9999])))] = rng.randrange(256)
    for damaged in (bytes(flipped), bytes(flipped[: rng.randrange(len(body))]), body[:2] + junk, junk):
        try:
            image = decode(damaged, 1_000_000)
        except ValueError as error:
            said = str(error)
        else:
            said = ""
            assert image.mode == "RGB"
        assert "\n" not in said


def test_square_stretches_and_never_crops() -> None:
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, :6], pixels[:, -6:] = (250, 0, 0), (0, 250, 0)
    small = np.asarray(square(Image.fromarray(pixels), 20))
    assert small.shape == (20, 20, 3)
    assert (small[:, 0, 0] > 200).all()
    assert (small[:, -1, 1] > 200).all()
    same = Image.new("RGB", (20, 20))
    assert square(same, 20) is same


def test_encode_keeps_every_colour_at_full_resolution() -> None:
    image = Image.fromarray(np.tile(np.array([[[250, 0, 0], [0, 0, 250]]], np.uint8), (16, 8, 1)))
    body = encode(image, 95)
    assert body == encode(image, 95)
    assert np.abs(np.asarray(decode(body, MANY)).astype(int) - np.asarray(image)).max() < 40
    assert len(encode(image, 20)) < len(body)
