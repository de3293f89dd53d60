"""Whatever bytes claim to be a photo: an image, or a reason in one line. FUZZ=10000 tries that many instead of a few hundred."""

import os
import random
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from support.bins import jpeg
from warehouse_classifier.dataset.photo import decode, square

TRIES = int(os.environ.get("FUZZ", "600"))
MOST = 1_000_000  # pixels
BY_EXIF = Image.Exif()
BY_EXIF[0x0112] = 6
GOOD = {
    "plain": jpeg(1), "progressive": jpeg(1, progressive=True), "CMYK": jpeg(1, mode="CMYK"), "grey": jpeg(1, mode="L"),
    "turned": jpeg(1, exif=BY_EXIF), "full colour": jpeg(1, subsampling=0), "1x1": jpeg(1, (1, 1)),
    "PNG": jpeg(1, format="PNG"), "palette": jpeg(1, mode="P", format="PNG"), "16 bits": jpeg(1, mode="I;16", format="PNG"),
    "photo": jpeg(2, (331, 402)),
}  # fmt: skip
HEADERS = (b"\xff\xc0", b"\xff\xc2", b"IHDR")


def cut(body: bytearray, rng: random.Random) -> bytes:
    return bytes(body[: rng.randrange(len(body))])


def flip(body: bytearray, rng: random.Random) -> bytes:
    reach = rng.choice([40, 300, len(body)])  # headers are where it hurts
    for _ in range(rng.choice([1, 1, 2, 9])):
        body[rng.randrange(min(len(body), reach))] ^= 1 << rng.randrange(8)
    return bytes(body)


def overwrite(body: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(body))
    body[at : at + rng.randrange(1, 200)] = rng.randbytes(rng.randrange(200))
    return bytes(body)


def bomb(body: bytearray, rng: random.Random) -> bytes:
    """Another size in the header: as often below the limit, where it is decoded, as above."""
    header = next(((body.find(mark), mark) for mark in HEADERS if mark in body), None)
    if header is None:
        return bytes(body)
    at, mark = header
    size = [rng.choice([0, 1, 7, 999, 1001, 9_000, 65_535]) for _ in range(2)]
    where = (at + 4, ">II") if mark == b"IHDR" else (at + 5, ">HH")
    struct.pack_into(where[1], body, where[0], *size)
    return bytes(body)


def splice(body: bytearray, rng: random.Random) -> bytes:
    other = rng.choice([*GOOD.values()])
    return bytes(body[: rng.randrange(len(body))] + other[rng.randrange(len(other)) :])


def behind(body: bytearray, rng: random.Random) -> bytes:
    return rng.choice([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"", bytes(body)]) + rng.randbytes(rng.randrange(300))


DAMAGES = (cut, flip, overwrite, bomb, splice, behind)


def outcome(body: bytes) -> str:
    """Holds what `decode` owes to whoever calls it; says what came out."""
    try:
        pixels = decode(body, MOST)
    except ValueError as error:
        reason = str(error)
        assert reason.startswith(("is empty", "is no JPEG (", "is a damaged image (", "claims "))
        assert reason.splitlines() == [reason]
        assert len(reason) < 400
        return "claims" if reason.startswith("claims ") else reason.split(" (", maxsplit=1)[0]
    height, width, colours = pixels.shape
    assert (pixels.dtype.name, colours) == ("uint8", 3)
    assert 0 < height * width <= MOST
    assert pixels.flags.c_contiguous
    assert square(pixels, 16).shape == (16, 16, 3)
    return "decoded"


def test_a_damaged_photo_is_an_image_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    table: dict[str, Counter[str]] = {damage.__name__: Counter() for damage in DAMAGES}
    kinds = [*GOOD]
    for seed in range(TRIES):
        rng = random.Random(seed)
        damage, kind = DAMAGES[seed % len(DAMAGES)], kinds[seed // len(DAMAGES) % len(kinds)]
        table[damage.__name__][outcome(damage(bytearray(GOOD[kind]), rng))] += 1
    if "FUZZ" in os.environ:
        with capsys.disabled():
            print(*(f"\n{name}: {dict(counts)}" for name, counts in table.items()))
    assert all(counts.total() > counts["decoded"] for counts in table.values())
    assert all(table[damage.__name__]["decoded"] > 0 for damage in (flip, bomb, behind))


def test_what_is_whole_is_always_taken() -> None:
    assert {kind: outcome(body) for kind, body in GOOD.items()} == dict.fromkeys(GOOD, "decoded")


@settings(max_examples=max(100, TRIES // 4))
@given(body=st.binary(max_size=300), start=st.sampled_from([b"", b"\xff\xd8", GOOD["plain"][:330], GOOD["PNG"][:60]]))
def test_any_bytes_are_an_image_or_a_reason(start: bytes, body: bytes) -> None:
    outcome(start + body)


@settings(max_examples=max(100, TRIES // 4))
@given(
    kind=st.sampled_from([*GOOD]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_are_an_image_or_a_reason(kind: str, changes: list[tuple[float, int]]) -> None:
    body = bytearray(GOOD[kind])
    for place, value in changes:
        body[int(place * len(body))] = value
    outcome(bytes(body))
