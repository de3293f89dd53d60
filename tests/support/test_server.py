"""The server that misbehaves: what it serves when well, and that each fault is on the wire as it says."""

import asyncio
import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from obstore import exceptions
from obstore.store import S3Store

from support.server import HTML, Drawn, Kind, Misdeed, Request, Served, Store, plan, serving

BODY = bytes(range(256)) * 40
BODIES = {f"a/{n:03}": BODY + bytes([n]) for n in range(25)} | {"b/ü & <x>.json": b"{}", "b/none": b"", "c": b"c"}


def client(served: Served, **more: Any) -> S3Store:
    return S3Store(
        "bins", endpoint=served.url, region="us-east-1", skip_signature=True, virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": timedelta(seconds=5)}, retry_config={"max_retries": 0}, **more,
    )  # fmt: skip


@contextmanager
def faulty(fault: Misdeed | Kind, objects: Any = BODIES) -> Iterator[Served]:
    """Every first request of a key meets the fault; every later one is served well."""
    with serving(Store(objects, lambda request: None if request.attempt else fault, page=10)) as served:
        yield served


@contextmanager
def asking(served: Served, target: str, timeout: float = 5, **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=timeout)
    connection.request("GET", target, headers=headers)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def listed(store: S3Store, prefix: str | None = None, **how: Any) -> list[tuple[str, int, str | None]]:
    return [(meta["path"], meta["size"], meta["e_tag"]) for chunk in store.list(prefix, **how) for meta in chunk]


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("process", [False, True])
def test_a_well_served_bucket(*, process: bool) -> None:
    with serving(Store(BODIES, page=10, etags={"c": "5d-2", "b/none": None}), process=process) as served:
        store = client(served)
        got = {key: bytes(store.get(key).bytes()) for key in BODIES}
        assert got == BODIES
        rows = listed(store)
        assert [(key, size) for key, size, _ in rows] == [(key, len(BODIES[key])) for key in sorted(BODIES)]
        assert {key: etag for key, _, etag in rows if not key.startswith("a/")} == {
            "b/none": None, "b/ü & <x>.json": '"99914b932bd37a50b983c5e7c90ae93b"', "c": '"5d-2"',
        }  # fmt: skip
        assert [key for key, *_ in listed(store, "a", offset="a/012")] == [f"a/{n:03}" for n in range(13, 25)]
        assert store.head("c")["e_tag"] == '"5d-2"'
        with pytest.raises(FileNotFoundError):
            store.get("d")
        assert bytes(store.get_range("a/001", start=5, end=9)) == BODIES["a/001"][5:9]
        with pytest.raises(exceptions.PreconditionError):
            store.get("c", options={"if_match": '"other"'})
        record = served.record()
        assert record.requests == {
            ("get", 200): 28, ("get", 206): 1, ("list", 200): 5, ("head", 200): 1, ("get", 404): 1, ("get", 412): 1,
        }  # fmt: skip
        assert record.sent > sum(map(len, BODIES.values()))
        assert not record.faults
        with asking(served, "/other/c") as answer:
            assert answer.status == 404
            assert b"NoSuchBucket" in answer.read()


def test_a_dict_may_change_and_a_bucket_may_be_drawn() -> None:
    bodies = {"a": b"1", "b": b"2"}
    with serving(Store(bodies)) as served:
        first = listed(client(served))
        bodies["a"] = b"3"
        del bodies["b"]
        assert listed(client(served))[0][2] != first[0][2]
        assert [key for key, *_ in listed(client(served))] == ["a"]
    with serving(Store(partial(Drawn, ["2", "1"], str.encode)), process=True) as served:
        assert [key for key, *_ in listed(client(served))] == ["1", "2"]
        assert bytes(client(served).get("2").bytes()) == b"2"
        with pytest.raises(FileNotFoundError):
            client(served).get("3")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("slow_down", 503, "SlowDown"),
        (Misdeed("slow_down", 2), 503, "SlowDown"),
        (Misdeed("too_many", 3), 429, "TooManyRequests"),
        ("error_500", 500, "InternalError"),
        ("denied", 403, "AccessDenied"),
        ("expired", 400, "ExpiredToken"),
        ("gone", 404, "NoSuchKey"),
    ],
)
@pytest.mark.parametrize("target", ["/bins/c", "/bins?list-type=2"])
def test_refusals(fault: Misdeed | Kind, status: int, code: str, target: str) -> None:
    with faulty(fault) as served:
        with asking(served, target) as answer:
            assert (answer.status, f"<Code>{code}</Code>" in answer.read().decode()) == (status, True)
            value = fault.value if isinstance(fault, Misdeed) else None
            assert answer.headers["Retry-After"] == (None if value is None else f"{value:g}")
        with asking(served, target) as answer:
            assert answer.status == 200
        assert sum(served.record().faults.values()) == 1


def test_bodies_that_are_not_what_was_listed() -> None:
    bodies: dict[Kind, bytes] = {}
    for fault in ("flip", "short", "longer", "html"):
        with faulty(fault) as served, asking(served, "/bins/a/001") as answer:
            bodies[fault] = answer.read()
            etag = None if fault == "html" else '"d6894682eb5f269c0e78377f5260c594"'
            assert (answer.status, answer.headers["ETag"]) == (200, etag)
            assert answer.headers["Content-Length"] == str(len(bodies[fault]))
    body = BODIES["a/001"]
    differing = [one ^ other for one, other in zip(bodies["flip"], body, strict=True) if one != other]
    assert [byte.bit_count() for byte in differing] == [1]
    assert bodies["short"] == body[: len(body) // 2]
    assert bodies["longer"] == body + bytes(1024)
    assert bodies["html"] == HTML


def test_bodies_that_stop() -> None:
    body = BODIES["a/001"]
    for fault, error in (("truncated", None), ("reset_midway", ConnectionResetError), ("stall", TimeoutError)):
        with faulty(fault) as served, asking(served, "/bins/a/001", 0.2) as answer:  # type: ignore[arg-type]
            assert answer.headers["Content-Length"] == str(len(body))
            assert answer.read(len(body) // 2) == body[: len(body) // 2]
            with pytest.raises(error) if error else pytest.raises(http.client.IncompleteRead):
                answer.read() if error is None else answer.read(1)
    errors: dict[Kind, Any] = {"reset": ConnectionResetError, "hang": TimeoutError}
    for before, error in errors.items():
        with faulty(before) as served, pytest.raises(error), asking(served, "/bins/a/001", 0.2):
            pass


@pytest.mark.slow
def test_bodies_that_take_long() -> None:
    with faulty(Misdeed("trickle", 100), {"k": bytes(30)}) as served:
        began = time.monotonic()
        with asking(served, "/bins/k") as answer:
            assert answer.read() == bytes(30)
        assert 0.25 < time.monotonic() - began < 1
    with faulty(Misdeed("late", 0.3), {"k": bytes(30)}) as served:
        began = time.monotonic()
        with asking(served, "/bins/k") as answer:
            assert answer.read() == bytes(30)
        assert 0.3 < time.monotonic() - began < 1
    with faulty("endless") as served:
        with asking(served, "/bins/a/001") as answer:
            assert answer.headers["Content-Length"] is None
            assert len(answer.read(2_000_000)) == 2_000_000
        eventually(lambda: (served.record().dropped, served.record().in_flight) == (1, 0))
    with faulty(Misdeed("endless", 10**12)) as served, asking(served, "/bins/a/001") as answer:
        assert answer.headers["Content-Length"] == str(10**12)
        assert len(answer.read(2_000_000)) == 2_000_000


def test_listings_that_go_wrong() -> None:
    keys = sorted(BODIES)
    seen = {}
    for fault in ("empty_page", "repeat", "disorder", "no_token"):
        with faulty(fault) as served:
            seen[fault] = [key for key, *_ in listed(client(served))]
    assert seen["empty_page"] == keys
    # every page comes twice but the last: it has no page after it, and so is not asked for anew
    assert seen["repeat"] == [key for at in range(0, 28, 10) for key in keys[at : at + 10] * 2]
    assert seen["disorder"] == [key for at in range(0, 28, 10) for key in reversed(keys[at : at + 10])]
    assert seen["no_token"] == keys[:10]
    for cut in ("truncated", "short"):
        with faulty(cut) as served, pytest.raises(exceptions.BaseError):
            listed(client(served))
    with faulty("html") as served:
        assert listed(client(served)) == []  # what obstore makes of a page to sign in: a bucket that is empty


def test_a_plan_is_a_function_of_its_seed() -> None:
    chosen = plan(7, {"flip": 0.2, Misdeed("slow_down", 2): 0.1}, lists={"html": 0.5}, until=2)
    requests = [Request("get", f"k{n}", n % 2, 0) for n in range(5000)]
    drawn = [chosen(request) for request in requests]
    assert drawn == [chosen(request._replace(connection=9)) for request in requests]
    assert drawn != [plan(8, chosen.gets, until=2)(request) for request in requests]
    assert [drawn.count(kind) / 5000 for kind in ("flip", Misdeed("slow_down", 2), None)] == pytest.approx(
        [0.2, 0.1, 0.7], abs=0.02
    )
    assert {chosen(request._replace(attempt=2)) for request in requests} == {None}
    assert {chosen(Request("list", f"k{n}", 0, 0)) for n in range(50)} == {None, "html"}
    of_connection = plan(7, {}, connections={"hang": 0.5})
    assert len({of_connection(Request("get", f"k{n}", 0, 3)) for n in range(50)}) == 1
    assert {of_connection(Request("get", "k", 0, n)) for n in range(50)} == {None, "hang"}


def test_requests_in_flight_and_dropped_are_counted() -> None:
    async def get(store: S3Store, key: str) -> int:
        return len(await (await store.get_async(key)).bytes_async())

    async def many(store: S3Store) -> None:
        await asyncio.gather(*(get(store, f"a/{n:03}") for n in range(12)))

    async def given_up(store: S3Store) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(get(store, "c"), 0.1)

    with serving(Store(BODIES, latency=0.1)) as served:
        asyncio.run(many(client(served)))
        record = served.record()
        assert (record.peak_in_flight, record.in_flight, record.peak_open) == (12, 0, 12)
        assert [(kind, fault) for _, kind, _, fault in record.times] == [("get", "")] * 12
    with faulty("hang") as served:
        asyncio.run(given_up(client(served)))
        eventually(lambda: (served.record().dropped, served.record().in_flight) == (1, 0))


def test_a_certificate_that_nobody_trusts() -> None:
    with serving(Store(BODIES, tls=True)) as served:
        host = served.url.removeprefix("https://")
        with pytest.raises(ssl.SSLCertVerificationError):
            http.client.HTTPSConnection(host, timeout=5).request("GET", "/bins/c")
        with pytest.raises(exceptions.BaseError):
            client(served).get("c")
        trusting = http.client.HTTPSConnection(host, context=ssl._create_unverified_context(), timeout=5)  # noqa: S323, SLF001
        trusting.request("GET", "/bins/c")
        assert trusting.getresponse().read() == b"c"
        trusting.close()
