"""One photo: upright, RGB, square and stretched; or the reason why it is none."""

import io
import random
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from support.bins import jpeg
from warehouse_classifier.dataset.photo import decode, decode_into, encode, square

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


def by_pillow(body: bytes) -> npt.NDArray[np.int64]:
    """What Pillow alone makes of a photo, upright."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")).astype(int)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_any_colours_is_rgb(mode: str, subsampling: int, progressive: bool) -> None:
    body = jpeg(1, (47, 37), mode=mode, quality=95, subsampling=subsampling, progressive=progressive)
    pixels = decode(body, MANY)
    assert (pixels.shape, pixels.dtype.name) == ((37, 47, 3), "uint8")
    assert pixels.flags.c_contiguous
    # inks become light with a rounding of their own
    assert np.abs(pixels - by_pillow(body)).max() <= (2 if mode == "CMYK" else 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_a_png_behind_a_jpg_is_taken(mode: str) -> None:
    body = jpeg(1, mode=mode, format="PNG")
    pixels = decode(body, MANY)
    assert pixels.shape == (36, 48, 3)
    assert np.array_equal(pixels, by_pillow(body))


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    grey = np.array([[0, 2570, 25700, 65535]] * 3, np.uint16)
    assert decode(stored(grey), MANY)[1, :, 0].tolist() == [0, 10, 100, 255]


def unusual(*sampling: int) -> bytes:
    """A grey JPEG of 16 x 16 whose three colours are sampled as the bytes say, by hand: no writer here makes such."""
    head = bytearray(stored(np.full((16, 16, 3), 128, np.uint8), "JPEG", subsampling=0))
    frame, scan = head.index(b"\xff\xc0"), head.index(b"\xff\xda")
    head[frame + 11 : frame + 20 : 3] = bytes(sampling)
    blocks = [(byte >> 4) * (byte & 15) for byte in sampling]
    width, height = 8 * max(byte >> 4 for byte in sampling), 8 * max(byte & 15 for byte in sampling)
    # a block without a change of brightness and without detail: 00 1010 in the table of light, 00 00 in that of colour
    bits = ("001010" * blocks[0] + "0000" * sum(blocks[1:])) * (-(-16 // width) * -(-16 // height))
    bits += "1" * (-len(bits) % 8)
    return bytes(head[: scan + 14]) + int(bits, 2).to_bytes(len(bits) // 8, "big") + b"\xff\xd9"


@pytest.mark.parametrize("sampling", [(0x11, 0x11, 0x11), (0x22, 0x21, 0x11), (0x31, 0x11, 0x11), (0x12, 0x21, 0x11)])
def test_a_jpeg_that_simplejpeg_does_not_take_goes_to_pillow(sampling: tuple[int, ...]) -> None:
    assert np.array_equal(decode(unusual(*sampling), MANY), np.full((16, 16, 3), 128))


def test_what_pillow_mends_in_silence_is_refused() -> None:
    """Bytes lost from the picture's end: Pillow gives grey for what it misses. In the middle no decoder always sees it."""
    body = jpeg(1, (200, 150), quality=90)
    for lost in (30, 100, 1000):
        damaged = body[: -lost - 2] + body[-2:]
        assert not np.array_equal(by_pillow(damaged), by_pillow(body))  # and not a word
        assert reason(damaged).startswith("is a damaged image (Corrupt JPEG data: ")


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 mean nothing
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_photo_stands_upright(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = jpeg(1, (48, 30), format=format, exif=exif)
    pixels = decode(body, MANY)
    assert np.array_equal(pixels, by_pillow(body))
    assert pixels.flags.c_contiguous
    plain = decode(jpeg(1, (48, 30), format=format), MANY)
    assert np.array_equal(pixels, plain) == (orientation in {0, 1, 9})
    if format == "PNG" and orientation in ROTATED:
        assert np.array_equal(ROTATED[orientation](pixels), plain)


def test_what_is_no_photo_has_its_reason() -> None:
    assert reason(b"") == "is empty"
    assert reason(b"<html><body>503 Slow Down") == "is no JPEG (it begins with b'<html><body>')"
    for other in ("GIF", "BMP", "TIFF", "WEBP"):
        assert reason(jpeg(format=other)).startswith("is no JPEG (")
    body = jpeg(1, (200, 150))
    for cut in (3, 30, 300, len(body) // 2, len(body) - 100):
        assert reason(body[:cut]).startswith(("is a damaged image (", "is no JPEG ("))
    assert reason(body[: len(body) // 2]) == "is a damaged image (Premature end of JPEG file)"


@pytest.mark.parametrize(
    ("body", "side"), [(claims(60_000), 60_000), (png_claims(60_000), 60_000), (claims(9_000), 9_000)]
)
def test_a_photo_that_claims_too_much_is_not_decoded(body: bytes, side: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = reason(body, 50_000_000)
    assert message.startswith("claims ")
    assert "more than 50000000" in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    if side < 10_000:
        assert message.startswith("claims 9000 x 9000 pixels")


def test_the_limit_is_the_pixels_that_are_allowed() -> None:
    body = jpeg(size=(100, 100))
    assert decode(body, 10_000).shape == (100, 100, 3)
    assert reason(body, 9_999) == "claims 100 x 100 pixels, more than 9999 in all"


@settings(max_examples=300)
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
    assert sorted(decode(jpeg(1, exif=bytes(spoilt)), MANY).shape) == [3, 36, 48]


def test_a_second_header_cannot_claim_more_than_the_first() -> None:
    """Readers differ in which of two they believe."""
    body = claims(9_000)
    frame = body.index(b"\xff\xc0")
    honest = jpeg()[frame : frame + 19]
    for two in (body[:frame] + honest + body[frame:], body[: frame + 19] + honest + body[frame + 19 :]):
        assert reason(two, 50_000_000).startswith(("claims 9000 x 9000", "is a damaged image ("))


@pytest.mark.parametrize("size", [(100, 100), (49, 36), (36, 48), (8, 8)])
def test_no_pixel_comes_from_a_header_that_only_one_reader_believes(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    believed = Image.open(io.BytesIO(jpeg(1, size)))
    monkeypatch.setattr(Image, "open", lambda *_, **__: believed)
    assert reason(jpeg(1)).startswith("is a damaged image (")


def test_an_image_is_decoded_in_place() -> None:
    body = encode(np.random.default_rng(2).integers(0, 255, (20, 20, 3), dtype=np.uint8), 95)
    out = np.zeros((3, 20, 20, 3), np.uint8)
    decode_into(body, out[1])
    assert np.array_equal(out[1], decode(body, MANY))
    assert not out[0].any()
    assert not out[2].any()


@pytest.mark.parametrize("size", [(20, 19), (19, 20), (10, 40), (8, 8), (1, 1), (21, 21), (500, 20)])
def test_another_size_leaves_what_is_beside_alone(size: tuple[int, int]) -> None:
    out = np.full((3, 20, 20, 3), 7, np.uint8)
    with pytest.raises(ValueError, match=f"^has {size[0]} x {size[1]} pixels and not 20 x 20$"):
        decode_into(jpeg(1, size), out[1])
    assert (out[[0, 2]] == 7).all()


def test_what_is_damaged_says_so_in_place_too() -> None:
    for body in (b"", b"<html>", jpeg(1)[:-300], claims(9_000)):
        with pytest.raises(ValueError, match=r"^(is|claims|has) "):
            decode_into(body, np.empty((36, 48, 3), np.uint8))


def test_square_stretches_and_never_crops() -> None:
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, :6], pixels[:, -6:] = (250, 0, 0), (0, 250, 0)
    small = square(pixels, 20)
    assert (small.shape, small.dtype.name) == ((20, 20, 3), "uint8")
    assert (small[:, 0, 0] > 200).all()
    assert (small[:, -1, 1] > 200).all()
    same = np.zeros((20, 20, 3), np.uint8)
    assert square(same, 20) is same


@pytest.mark.parametrize("size", [(64, 64), (201, 317), (90, 31), (1, 1), (1, 50), (50, 1), (3000, 7)])
@pytest.mark.parametrize("side", [16, 64, 224])
def test_square_is_as_exact_as_pillow(size: tuple[int, int], side: int) -> None:
    smooth = np.random.default_rng(4).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize(size, Image.Resampling.BICUBIC)
    small = square(np.array(image), side)
    assert small.flags.c_contiguous
    wanted = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(small - wanted).max() <= 2
    assert (small != wanted).mean() < 0.05


def test_square_works_in_the_calling_thread_alone() -> None:
    """Many threads call it at once, and torch's own would fight with them."""
    square(np.zeros((64, 64, 3), np.uint8), 32)
    before = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(3):
        square(np.zeros((2000, 2000, 3), np.uint8), 224)
    assert len(list(Path("/proc/self/task").iterdir())) == before


def test_what_only_decodes_waits_for_no_torch() -> None:
    code = "import sys, warehouse_classifier.dataset.photo; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encode_keeps_every_colour_at_full_resolution() -> None:
    pixels = np.tile(np.array([[[250, 0, 0], [0, 0, 250]]], np.uint8), (16, 8, 1))
    body = encode(pixels, 95)
    assert body == encode(pixels, 95)
    assert np.abs(decode(body, MANY).astype(int) - pixels).max() < 40
    assert len(encode(pixels, 20)) < len(body)
