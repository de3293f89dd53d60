"""Whatever bytes claim to be metadata: a row, or a reason in one line. FUZZ=10000 tries that many instead of a few hundred."""

import ast
import json
import math
import os
import random
import re
import time
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse_classifier.bins.metadata import LARGEST, PAIRS, parse

TRIES = int(os.environ.get("FUZZ", "600"))
UNITS = {"height": "IN", "length": "IN", "width": "IN", "weight": "pounds"}
STRANGE = [  # a value in the place of another, as it is spelt
    "null", "true", "false", "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "-0.0", "0", "3", "-1", "2.0",
    "1e0", "1" + "0" * 400, "9" * 5000, "1000000", "1000001", '""', '"3"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\udce6"',
    '"\\u0000"', '"a\\nb"', '"\u2028"', "[]", "{}", "[[3]]", '{"value": 3}', '{"unit": "IN"}', '{"unit": "CM", "value": 3}',
    '{"unit": "IN", "value": NaN}', '{"unit": "IN", "value": true}', '{"unit": "IN", "value": 1e400}',
    '{"unit": "IN", "value": 1' + "0" * 400 + "}", '{"unit": "pounds", "value": -0.0}', '"' + "x" * 10_000 + '"',
    "[" * 300 + "]" * 300, "[" * 990 + "]" * 990, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000,
    "[" * 100_000, "01", "+1", ".5", "0x10", "'x'", "undefined", '"unended', "\x00", "1,", "{,}", "// no", "\ufeff1",
]  # fmt: skip


def real(rng: random.Random) -> dict[str, Any]:
    """What a real file looks like."""
    items = {}
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5])):
        asin = "B00" + "".join(rng.choices("ABCDEFGHJK0123456789", k=7))
        name = rng.choice(["A thing", "Ein Gerät, 2 Stück", 'O"Ring\\', "箱 📦", ""])
        items[asin] = {
            "asin": asin, **{field: {"unit": unit, "value": round(rng.uniform(0, 30), 9)} for field, unit in UNITS.items()},
            "name": name, "normalizedName": name, "quantity": rng.randrange(1, 4),
        }  # fmt: skip
        for field in rng.sample([*UNITS, "asin", "name"], rng.choice([0, 0, 0, 1, 2])):
            items[asin][field] = None
    return {"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": sum(item["quantity"] for item in items.values())}


def written(data: Any, rng: random.Random) -> str:
    return json.dumps(data, indent=rng.choice([None, 4]), ensure_ascii=rng.random() < 0.5)


def whole(rng: random.Random) -> bytes:
    return written(real(rng), rng).encode()


def cut(rng: random.Random) -> bytes:
    body = whole(rng)
    return body[: rng.randrange(len(body))]


def flip(rng: random.Random) -> bytes:
    body = bytearray(whole(rng))
    for _ in range(rng.choice([1, 1, 2, 9])):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body)


def overwrite(rng: random.Random) -> bytes:
    body = bytearray(whole(rng))
    at = rng.randrange(len(body))
    body[at : at + rng.randrange(20)] = rng.choice([rng.randbytes, lambda size: b"0123456789x "[:size]])(
        rng.randrange(1, 20)
    )
    return bytes(body)


def replace(rng: random.Random) -> bytes:
    """Something strange in the place of any value."""
    data = real(rng)
    places: list[tuple[Any, Any]] = []

    def walk(inner: Any) -> None:
        for key in inner:
            places.append((inner, key))
            if isinstance(inner[key], dict):
                walk(inner[key])

    walk(data)
    for inner, key in rng.sample(places, min(len(places), rng.choice([1, 1, 2]))):
        inner[key] = "@HERE@"
    text = written(data, rng)
    return re.sub('"@HERE@"', lambda _: rng.choice(STRANGE), text).encode()


def rename(rng: random.Random) -> bytes:
    """A key that is missing, strange, or stands twice."""
    text = whole(rng).decode()
    keys = [*re.finditer(r'"([^"\\]*)":', text)]
    one, two = rng.choice(keys), rng.choice(keys)
    new = rng.choice(
        [two[0], two[0], '"":', '"\\ud800":', '"a\\nb":', '"EXPECTED_QUANTITY":', "3:", f'"{"k" * 5000}":', two[0][:-1]]
    )
    return (text[: one.start()] + new + text[one.end() :]).encode()


def encode(rng: random.Random) -> bytes:
    """Not UTF-8, or not only."""
    body = whole(rng)
    at = rng.randrange(len(body))
    return rng.choice(
        [
            body.decode().encode("utf-16"), body.decode().encode("utf-16-le"), body.decode().encode("utf-32-be"),
            b"\xef\xbb\xbf" + body, b"\xef\xbb\xbf" * 2 + body, b"\xff\xfe" + body, body.decode().encode("latin-1", "replace"),
            body[:at] + rng.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00", b"\x80"]) + body[at:],
        ]
    )  # fmt: skip


def around(rng: random.Random) -> bytes:
    body = whole(rng)
    strange = rng.choice(STRANGE).encode()
    return rng.choice(
        [strange, body + strange, strange + body, b"[" + body + b"]", b" \n" + body + b"\r\n\t", body + body]
    )


DAMAGES = (whole, cut, flip, overwrite, replace, rename, encode, around)


class Twice(Exception):
    pass


def independent(body: bytes) -> tuple[int, list[dict[str, Any]]] | None:
    """What the body says, read another way: numbers and keys as they are spelt; None for what is not to be trusted."""

    def pairs(listed: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in listed}) != len(listed):
            raise Twice
        return dict(listed)

    def spelt(kind: str) -> Any:
        return lambda text: (kind, text)

    def digits(text: str) -> Any:
        if len(text.removeprefix("-")) > 4300:  # as many as Python reads
            raise ValueError
        return "int", text

    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        data = json.JSONDecoder(
            object_pairs_hook=pairs,
            parse_int=digits,
            parse_float=spelt("float"),
            parse_constant=spelt("constant"),
        ).decode(text)
        if not isinstance(data, dict) or not isinstance(data["BIN_FCSKU_DATA"], dict):
            return None
        return count(data["EXPECTED_QUANTITY"]), [row(key, item) for key, item in data["BIN_FCSKU_DATA"].items()]
    except (ValueError, RecursionError, Twice, KeyError, TypeError, AttributeError):
        return None


def count(value: Any) -> int:
    kind, text = value
    number = ast.literal_eval(text) if kind == "int" and len(text) < 9 else -1
    if not 0 <= number <= LARGEST:
        raise ValueError
    return int(number)


def measure(value: Any, unit: str) -> float | None:
    if value is None:
        return None
    kind, text = value["value"]
    if kind == "constant" or value["unit"] != unit or not math.isfinite(float(text)):
        raise ValueError
    return float(text)


def row(key: str, item: dict[str, Any]) -> dict[str, Any]:
    asin, name = item.get("asin"), item.get("name")
    if not isinstance(asin, str | None) or not isinstance(name, str | None):
        raise TypeError
    surrogates = dict.fromkeys(range(0xD800, 0xE000), "?")
    return {
        "asin": (asin or key).translate(surrogates),
        "quantity": count(item["quantity"]),
        **{field: measure(item.get(field), unit) for field, unit in UNITS.items()},
        "name": None if name is None else name.translate(surrogates),
    }


def outcome(body: bytes) -> str:
    """Holds what `parse` owes to whoever calls it; says what came out."""
    wanted, got, reason = independent(body), None, "read"
    try:
        got = parse(body)
    except ValueError as error:
        reason = str(error)
    assert got == wanted, f"{reason}: {body[:500]!r}"
    if got is None:
        assert reason.isprintable()
        assert reason.isascii()
        assert 0 < len(reason) < 300
        return " ".join(re.sub(r'item "(\\.|[^"\\])*"|"(\\.|[^"\\])*"', "item", reason).split("(")[0].split(" ")[:3])
    quantity, items = got
    facts = {"id": "1", "quantity": quantity, "items": items, "image_bytes": 1, "image_etag": None, "checked": "md5"}
    table = pa.Table.from_pylist([facts | {"metadata_md5": "0"}], PAIRS)
    table.validate(full=True)
    assert table["items"].to_pylist() == [items]
    return "read"


def test_a_damaged_file_is_a_row_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    table: dict[str, Counter[str]] = {damage.__name__: Counter() for damage in DAMAGES}
    for seed in range(TRIES):
        damage = DAMAGES[seed % len(DAMAGES)]
        table[damage.__name__][outcome(damage(random.Random(seed)))] += 1
    if "FUZZ" in os.environ:
        with capsys.disabled():
            print(*(f"\n{name}: {dict(counts.most_common())}" for name, counts in table.items()))
            print(f"{TRIES} bodies, {time.monotonic() - began:.1f} seconds")
    assert set(table["whole"]) == {"read"}
    assert "read" not in table["cut"]
    assert all(len(counts) > 2 for name, counts in table.items() if name not in {"whole", "cut", "around"})
    assert all(counts["read"] for name, counts in table.items() if name != "cut")


@pytest.mark.parametrize("strange", STRANGE, ids=range(len(STRANGE)))
def test_anything_strange_in_any_place_is_a_row_or_a_reason(strange: str) -> None:
    item = {
        "asin": "A",
        "name": "n",
        "quantity": 1,
        **{field: {"unit": unit, "value": 1} for field, unit in UNITS.items()},
    }
    places = [("EXPECTED_QUANTITY",), ("BIN_FCSKU_DATA",), ("BIN_FCSKU_DATA", "A"), ("BIN_FCSKU_DATA", "A", "height", "unit"),
              *(("BIN_FCSKU_DATA", "A", field) for field in item), ("BIN_FCSKU_DATA", "A", "weight", "value"), ("other",)]  # fmt: skip
    seen = set()
    for place in places:
        data: Any = json.loads(json.dumps({"BIN_FCSKU_DATA": {"A": item}, "EXPECTED_QUANTITY": 1}))
        inner = data
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = "@HERE@"
        seen.add(outcome(json.dumps(data).replace('"@HERE@"', strange).encode()))
    assert seen


@pytest.mark.slow
def test_a_hundred_megabytes_are_read_or_refused_in_seconds() -> None:
    """No more than LARGEST is ever fetched of a file; what is in a folder may be that long."""
    for body, reason in (
        (b'{"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": {}, "x": "' + b"x" * 100_000_000 + b'"}', "read"),
        (b"[" * 100_000_000, "is nested too"),
        (b"9" * 10_000_000, "is not JSON"),
    ):
        began = time.monotonic()
        assert outcome(body) == reason
        assert time.monotonic() - began < 20


@pytest.mark.slow
@settings(max_examples=max(100, TRIES // 4))
@given(body=st.one_of(st.binary(max_size=100), st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_a_row_or_a_reason(body: bytes) -> None:
    outcome(body)


@settings(max_examples=max(100, TRIES // 4))
@given(
    seed=st.integers(0, 10**6),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), max_size=4),
)
def test_changed_bytes_are_a_row_or_a_reason(seed: int, changes: list[tuple[float, bytes]]) -> None:
    body = bytearray(whole(random.Random(seed)))
    for place, value in changes:
        at = int(place * len(body))
        body[at : at + len(value)] = value
    outcome(bytes(body))
