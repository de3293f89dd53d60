"""A store that misbehaves: nothing wrong gets in, nothing right is lost, and what cannot be had has its reason."""

import hashlib
import itertools
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.bins import mirror
from support.s3 import CREDENTIALS
from support.server import Misdeed, Request, Served, Store, plan, serving
from warehouse_classifier.bucket import client, endpoint, listing, object_store, retry
from warehouse_classifier.bucket import objects as entries_of
from warehouse_classifier.bucket.bucket import open_bucket
from warehouse_classifier.bucket.object_store import StoreBucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, Body, ObjectInfo, Unreadable, key_of
from warehouse_classifier.runtime.errors import UserError

URL = "s3://bins"
BODIES = {key_of(METADATA, f"{n:05}"): random.Random(n).randbytes(200 + n) for n in range(300)}
KEYS = sorted(BODIES)
QUICK = (0.4, 0.4, 0.8, 2.0)  # seconds, for what hangs
Serve = Callable[..., Served]


def opened(concurrency: int = 16) -> StoreBucket:
    bucket = open_bucket(URL, concurrency)
    assert isinstance(bucket, StoreBucket)
    return bucket


def listed(bodies: dict[str, bytes] = BODIES) -> list[ObjectInfo]:
    return [ObjectInfo(key, len(body), hashlib.md5(body).hexdigest()) for key, body in sorted(bodies.items())]  # noqa: S324


def read(bucket: StoreBucket, entries: list[ObjectInfo] | None = None) -> dict[str, Body]:
    """Everything, after a look at its order."""
    entries = listed() if entries is None else entries
    came = list(bucket.get_many(entries))
    assert [entry for entry, _ in came] == entries
    return {entry.key: body for entry, body in came}


def fault_of(work: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        work()
    assert str(caught.value).startswith(f"bucket {URL} ") or str(caught.value).startswith(f"bucket {URL}: ")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def reasons(bodies: dict[str, Body]) -> Counter[str]:
    return Counter(body.reason for body in bodies.values() if isinstance(body, Unreadable))


def only(key: str, kind: Any) -> Callable[[Request], Any]:
    return lambda request: kind if request.key == key else None


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(client, "PAGE", 10)
    return 10


# ---- bodies

SPOILED: list[Any] = [
    "flip", "short", "longer", "html", "truncated", "reset", "reset_midway", "error_500", "slow_down", "too_many", "endless",
    Misdeed("endless", 10**12), Misdeed("endless", 50_000),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("misdeed", SPOILED, ids=str)
def test_three_in_ten_spoiled_and_every_byte_right(serve: Serve, misdeed: Any) -> None:
    served = serve(BODIES, plan(3, {misdeed: 0.3}))
    bucket = opened()
    assert read(bucket) == BODIES
    faults = served.record().faults.total()
    assert faults > 90
    assert bucket.errors == faults or (misdeed in ("slow_down", "too_many") and 60 < bucket.errors < faults)
    assert served.record().requests["get", 200] < 300 + 2 * faults


def test_all_kinds_of_spoiling_at_once(serve: Serve, small_pages: int) -> None:
    shares = dict.fromkeys(SPOILED[:-3], 0.03) | {Misdeed("slow_down", 0.05): 0.03, Misdeed("late", 0.05): 0.02}
    served = serve(BODIES, plan(4, shares, shares), page=small_pages)
    bucket = opened()
    entries = list(bucket.list(METADATA))
    assert entries == listed()
    assert read(bucket, entries) == BODIES
    assert len(served.record().faults) == len({getattr(kind, "kind", kind) for kind in shares})


@pytest.mark.parametrize(
    ("misdeed", "message"),
    [
        ("flip", r"its MD5 is not the ETag \w{32} that was listed \(one encrypted with KMS has no MD5 there\)"),
        ("short", r"105 bytes came, 210 were listed"),
        ("longer", r"1234 bytes came, 210 were listed"),
        ("html", r"its ETag is None, \w{32} was listed"),
        (Misdeed("endless", 10**12), r"1000000000000 bytes were to come, 210 were listed"),
        ("truncated", r"could not be had in 12 tries: .*"),
        ("reset", r"could not be had in 12 tries: .*"),
        ("reset_midway", r"could not be had in 12 tries: .*"),
        ("endless", r"could not be had in 12 tries: .*"),
        ("error_500", r"could not be had in 12 tries: it answers 500 Internal Server Error"),
    ],
    ids=str,
)
def test_what_is_spoiled_for_ever_is_listed_with_its_reason(serve: Serve, misdeed: Any, message: str) -> None:
    served = serve(BODIES, only(KEYS[10], misdeed))
    bucket = opened()
    came = read(bucket)
    (reason,) = reasons(came)
    assert re.fullmatch(message, reason)
    assert came[KEYS[10]] == Unreadable(reason, again=True)
    assert {**came, KEYS[10]: BODIES[KEYS[10]]} == BODIES
    tries = 12 if "tries" in message else 10
    assert bucket.errors == tries - 1  # the last of them is no error but what is listed
    assert served.record().faults.total() == tries
    assert served.record().sent < 50_000_000  # what never ends is not read to its end


@pytest.mark.parametrize(("misdeed", "message"), [("gone", "missing"), ("denied", "access denied")])
def test_missing_or_denied_is_asked_for_three_times(serve: Serve, misdeed: Any, message: str) -> None:
    held_back = set(KEYS[5::50])
    served = serve(BODIES, lambda request: misdeed if request.key in held_back else None)
    came = read(opened())
    assert {key: body for key, body in came.items() if key in held_back} == dict.fromkeys(
        held_back, Unreadable(message)
    )
    assert {key: body for key, body in came.items() if key not in held_back} == {
        key: body for key, body in BODIES.items() if key not in held_back
    }
    assert Counter(key for _, _, key, kind in served.record().times if kind) == dict.fromkeys(held_back, 3)
    serve(BODIES, lambda request: misdeed if request.attempt < 2 else None)
    assert read(opened()) == BODIES  # a no that is taken back is no no


def test_what_is_listed_and_gone_is_missing(serve: Serve) -> None:
    bodies = dict(BODIES)
    serve(bodies)
    bucket = opened()
    entries = list(bucket.list(METADATA))
    del bodies[KEYS[0]], bodies[KEYS[-1]]
    assert read(bucket, entries) == {**BODIES, KEYS[0]: Unreadable("missing"), KEYS[-1]: Unreadable("missing")}


@pytest.mark.parametrize("etag", [None, "5d41402abc4b2a76b9719d911017c592-2"])
def test_another_object_than_the_listed_one_is_a_fault_that_names_it(serve: Serve, etag: str | None) -> None:
    bodies, etags = dict(BODIES), {KEYS[7]: "0123-2"} if etag else {}
    served = serve(bodies, plan(5, {"flip": 0.2, "html": 0.1}), etags=etags)
    bucket = opened()
    entries = list(bucket.list(METADATA))
    bodies[KEYS[7]] = BODIES[KEYS[7]][::-1]
    if etag:
        etags[KEYS[7]] = etag
    message = fault_of(lambda: read(bucket, entries))
    was, now = entries[7].etag, etag or hashlib.md5(bodies[KEYS[7]]).hexdigest()  # noqa: S324
    assert message == (
        f"bucket {URL}: {KEYS[7]} is no longer what was listed (ETag {was}, now {now});"
        " start again, the pipeline with `dvc repro -f fetch_metadata`, and it is listed anew"
    )
    assert served.record().times


def test_a_damaged_answer_is_not_taken_for_another_object(serve: Serve) -> None:
    """Another ETag over bytes that do not hash to it: something is wrong with the answer, not with the object."""
    bodies, etags = dict(BODIES), {KEYS[7]: "0" * 32}
    serve(bodies, etags=etags)
    came = read(opened())
    assert came[KEYS[7]] == Unreadable(f"its ETag is {'0' * 32}, {listed()[7].etag} was listed")
    assert {**came, KEYS[7]: BODIES[KEYS[7]]} == BODIES


@pytest.mark.parametrize("etag", ["5d41402abc4b2a76b9719d911017c592-2", "opaque", None])
def test_an_etag_that_is_no_md5_leaves_the_length_and_the_header(serve: Serve, etag: str | None) -> None:
    etags = dict.fromkeys(KEYS, etag)
    serve(BODIES, plan(6, dict.fromkeys(("short", "longer", "truncated"), 0.1)), etags=etags)
    bucket = opened()
    entries = list(bucket.list(METADATA))
    assert {entry.etag for entry in entries} == {etag}
    assert {bucket.checked(entry) for entry in entries} == {"length"}
    assert {bucket.checked(entry) for entry in listed()} == {"md5"}
    assert [bucket.stamp(entry) for entry in entries] == [etag] * len(entries)
    assert read(bucket, entries) == BODIES
    if etag:
        for other in ("other", "other-2"):
            etags[KEYS[3]] = other
            assert f"(ETag {etag}, now {other})" in fault_of(lambda: read(bucket, entries[3:4]))


def test_what_is_listed_as_too_large_is_never_asked_for(serve: Serve) -> None:
    served = serve(BODIES)
    most = entries_of.LARGEST[METADATA]
    entries = [*listed()[:3], ObjectInfo(KEYS[3], most + 1), *listed()[4:6]]
    came = read(opened(), entries)
    assert came[KEYS[3]] == Unreadable(f"has {most + 1} bytes, more than the {most} that are ever fetched", again=False)
    assert served.record().requests == {("get", 200): 5}


def test_what_claims_to_be_much_longer_than_listed_is_not_read(serve: Serve) -> None:
    """Three megabytes are no more than an object may have, but a thousand of them for 200 bytes each fill the memory."""
    bodies, larger = dict(BODIES), 3 << 20
    serve(bodies, only(KEYS[0], Misdeed("endless", larger)))
    came = read(opened())
    assert came[KEYS[0]] == Unreadable(f"{larger} bytes were to come, 200 were listed")
    assert {**came, KEYS[0]: BODIES[KEYS[0]]} == BODIES
    bodies[KEYS[1]] = bytes(larger)
    now = hashlib.md5(bodies[KEYS[1]]).hexdigest()  # noqa: S324
    assert f"{KEYS[1]} is no longer what was listed (ETag {listed()[1].etag}, now {now})" in fault_of(
        lambda: read(opened(), listed()[1:2])
    )


@pytest.mark.slow
def test_no_more_is_asked_for_than_memory_may_hold(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the one that is next, and whoever takes the bodies."""
    monkeypatch.setattr(object_store, "AHEAD", 1 << 20)
    bodies = {key: bytes(100_000) for key in KEYS[:60]}
    served = serve(bodies, lambda request: Misdeed("late", 0.5) if request.key == KEYS[0] else None)
    bodies_of = opened(32).get_many(listed(bodies))
    time.sleep(0.05)
    assert not served.record().requests  # nothing before the first is wanted
    for taken in range(1, 31):
        next(bodies_of)
        time.sleep(0.002)
        assert served.record().requests["get", 200] <= taken + (1 << 20) // (100_000 + object_store.OVERHEAD) + 1
    assert served.record().requests["get", 200] > 35
    bodies_of.close()
    assert served.record().requests["get", 200] < 45


# ---- time


def test_one_connection_in_a_hundred_hangs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", QUICK)
    served = serve(BODIES, lambda request: "hang" if request.connection % 100 == 5 else None, latency=0.002)
    bucket = opened(32)
    assert read(bucket) == BODIES
    assert served.record().faults["hang"] > 0
    # a busy machine may let others run out of their time too
    assert bucket.errors >= served.record().dropped >= served.record().faults["hang"]


@pytest.mark.slow
def test_what_stalls_is_asked_for_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", QUICK)
    served = serve(BODIES, plan(7, {"stall": 0.05, "hang": 0.05}))
    bucket = opened(32)
    assert read(bucket) == BODIES
    assert bucket.errors >= served.record().faults.total() > 20


@pytest.mark.slow
def test_a_hundred_bytes_a_second_have_the_time_they_need_in_the_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (0.1, 0.2, 2.0))
    bodies = {key: BODIES[key][:60] for key in KEYS[:20]}
    served = serve(bodies, lambda _: Misdeed("trickle", 100))
    bucket = opened(20)
    assert read(bucket, listed(bodies)) == bodies
    assert bucket.errors == 40  # 0.6 seconds each
    assert served.record().dropped == 40


@pytest.mark.slow
def test_what_hangs_for_ever_is_listed_and_holds_up_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (0.05, 0.1))
    serve(BODIES, only(KEYS[0], "hang"))
    began = time.monotonic()
    came = read(opened())
    assert came[KEYS[0]] == Unreadable("could not be had in 12 tries: no answer in time")
    assert {**came, KEYS[0]: BODIES[KEYS[0]]} == BODIES
    assert time.monotonic() - began < 4


def test_what_never_comes_is_listed_even_if_it_is_all_that_is_left(serve: Serve) -> None:
    served = serve(BODIES, only(KEYS[0], "reset"))
    assert reasons(read(opened(), listed()[:1])).total() == 1
    assert served.record().faults["reset"] == 12
    assert served.record().requests["list", 200] == 9  # the bucket was asked whether it is there


# ---- a server that is busy


def times_of(served: Served, key: str) -> list[float]:
    return [at for at, _, asked, _ in served.record().times if asked == key]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "signed"), [("slow_down", True), ("too_many", True), ("slow_down", False)])
def test_a_busy_server_is_left_in_peace_as_long_as_it_asks(
    serve: Serve, aws: pytest.MonkeyPatch, kind: Any, signed: bool
) -> None:
    for name in CREDENTIALS if not signed else ():
        aws.delenv(name)
    bodies = {key: BODIES[key] for key in KEYS[:24]}
    served = serve(bodies, lambda request: Misdeed(kind, 0.3) if request.attempt < 2 else None)
    bucket = opened(8)
    assert read(bucket, listed(bodies)) == bodies
    assert bucket.errors == 24
    for key in bodies:
        first, probe, second = times_of(served, key)
        assert probe - first < 0.25  # obstore drops the header, so it is asked for once
        assert second - probe >= 0.3
    assert served.record().requests["get", 200] == 24


def test_a_busy_server_that_asks_for_nothing_is_asked_ever_more_seldom(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.02, 10.0))
    served = serve(BODIES, lambda request: "slow_down" if request.attempt < 10 else None)
    assert read(opened(), listed()[:1]) == {KEYS[0]: BODIES[KEYS[0]]}
    tries = times_of(served, KEYS[0])[::2]
    for number, (one, two) in enumerate(itertools.pairwise(tries)):
        assert two - one >= 0.02 * 2**number / 2


@pytest.mark.slow
def test_a_busy_server_is_sent_half_as_much_at_once(serve: Serve) -> None:
    latency, settled = 0.08, 0.3
    served = serve(BODIES, lambda request: "slow_down" if request.key in KEYS[:16] and not request.attempt else None,
                   latency=latency)  # fmt: skip
    assert all(isinstance(body, bytes) for body in read(opened(16), listed()[:200]).values())
    record = served.record()
    assert record.peak_in_flight > 12
    began = record.times[0][0]
    at = [time - began for time, *_ in record.times]

    def most(start: float, end: float) -> int:
        """Answers that lie less than the latency apart were in flight together."""
        seen = [time for time in at if start <= time < end]
        return max(sum(one <= other < one + 0.9 * latency for other in seen) for one in seen)

    assert most(settled, settled + 3 * latency) <= 12  # and slowly up again, by one a round
    assert most(settled + 6 * latency, 9) > most(settled, settled + 3 * latency)


class Dated(BaseHTTPRequestHandler):
    """Busy until a date that it tells, by one form of it or another."""

    until: datetime
    asked: list[float]

    def do_GET(self) -> None:
        self.asked.append(time.time())
        busy = datetime.now(UTC) < self.until
        self.send_response(503 if busy else 200)
        if busy:
            self.send_header("Retry-After", format_datetime(self.until, usegmt=True))
        for name, value in (
            ("ETag", '"x"'),
            ("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT"),
            ("Content-Length", "2"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def dated(aws: pytest.MonkeyPatch) -> Iterator[type[Dated]]:
    now = datetime.now(UTC)
    Dated.until, Dated.asked = now.replace(microsecond=0) + timedelta(seconds=2 if now.microsecond > 500_000 else 1), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Dated) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        aws.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield Dated
        server.shutdown()


@pytest.mark.slow
def test_the_wait_may_be_a_date(dated: type[Dated]) -> None:
    assert read(opened(1), [ObjectInfo(KEYS[0], 2)]) == {KEYS[0]: b"ok"}
    first, probe, second = dated.asked
    assert probe - first < 0.3
    assert second >= dated.until.timestamp()


@pytest.mark.slow
def test_a_wait_that_cannot_be_asked_for_is_ours(dated: type[Dated], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers have no answer that is one for a client they do not know."""
    well = Dated.do_GET

    def do_GET(self: Dated) -> None:  # noqa: N802
        if "urllib" in self.headers["User-Agent"]:
            self.wfile.write(b"rubbish\r\n\r\n")
        else:
            well(self)

    monkeypatch.setattr(Dated, "do_GET", do_GET)
    assert read(opened(1), [ObjectInfo(KEYS[0], 2)]) == {KEYS[0]: b"ok"}


# ---- nothing comes at all


def test_credentials_that_end_in_the_middle_are_named(serve: Serve) -> None:
    count = itertools.count()
    serve(BODIES, lambda _: "expired" if next(count) > 100 else None)
    bucket = opened()
    assert fault_of(lambda: read(bucket)) == (
        f"bucket {URL} refuses the credentials (ExpiredToken); renew them and start again, what is done stays"
    )
    assert "ExpiredToken" in fault_of(lambda: list(bucket.list(METADATA)))


@pytest.mark.slow
def test_an_endpoint_that_goes_down_in_the_middle(aws: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SILENCE", 1.0)
    with serving(Store(BODIES, latency=0.002)) as served:
        aws.setenv("AWS_ENDPOINT_URL", served.url)
        bucket = opened()
        bodies = bucket.get_many(listed() * 20)
        for entry, body in itertools.islice(bodies, 100):
            assert body == BODIES[entry.key]
    began = time.monotonic()
    came: list[Body] = []
    message = fault_of(lambda: came.extend(body for _, body in bodies))
    assert message.startswith(f"bucket {URL} cannot be reached; check the network and AWS_ENDPOINT_URL (")
    assert time.monotonic() - began < 3
    assert all(isinstance(body, bytes) for body in came)  # no object is given up for a bucket that is not there


@pytest.mark.slow
def test_an_endpoint_that_comes_back_is_gone_on_with(serve: Serve) -> None:
    began = time.monotonic()
    served = serve(BODIES, lambda _: "reset" if 0.1 < time.monotonic() - began < 0.9 else None, latency=0.005)
    bucket = opened()
    assert read(bucket) == BODIES
    assert served.record().faults["reset"] > 12 * 16  # many times more than are tried of one object


def test_a_certificate_that_nobody_trusts_is_named_at_once(serve: Serve) -> None:
    served = serve(BODIES, tls=True)
    bucket = opened()
    message = f"bucket {URL} is at {served.url}, whose certificate is not to be trusted (UnknownIssuer)"
    assert fault_of(lambda: list(bucket.list(METADATA))) == message
    assert fault_of(lambda: read(bucket)) == message
    assert bucket.errors == 0


def test_half_a_pair_of_credentials_is_named(aws: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with aws.context() as half:
            half.delenv(name)
            message = fault_of(opened)
        assert message.startswith(f"bucket {URL} cannot be asked for; check the AWS variables (")


def test_a_host_that_nobody_knows(aws: pytest.MonkeyPatch, told_soon: None) -> None:
    aws.setenv("AWS_ENDPOINT_URL", "https://nohost.invalid")
    assert fault_of(lambda: list(opened().list(METADATA))) == (
        f"bucket {URL} cannot be reached; check the network and AWS_ENDPOINT_URL (no such host is known)"
    )


# ---- listings


@pytest.mark.parametrize("where", ["everywhere", "first page"])
@pytest.mark.parametrize(
    "misdeed",
    ["html", "flip", "short", "truncated", "reset", "error_500", "slow_down", "too_many", "empty_page", "repeat",
     "disorder", "no_token"],
)  # fmt: skip
def test_a_listing_that_goes_wrong_is_whole(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, small_pages: int, misdeed: Any, where: str
) -> None:
    monkeypatch.setattr(client, "PAGE", 2 * small_pages if misdeed == "repeat" else small_pages)
    served = serve(
        BODIES,
        plan(8, {}, {misdeed: 0.1})
        if where == "everywhere"
        else lambda request: misdeed if request.key == "metadata/" and not request.attempt else None,
        page=small_pages,
    )
    bucket = opened()
    assert list(bucket.list(METADATA)) == listed()
    assert served.record().faults[misdeed] > (5 if where == "everywhere" else 0)
    if misdeed not in ("empty_page", "no_token", "repeat", "flip"):  # which may be where nobody looks
        assert bucket.errors > 0


@pytest.mark.parametrize("seed", range(8))
def test_three_pages_in_ten_are_html_and_no_key_is_lost(serve: Serve, small_pages: int, seed: int) -> None:
    """Which obstore takes for the end of the listing."""
    serve(BODIES, plan(seed, {}, {"html": 0.3}), page=small_pages)
    assert list(opened().list(METADATA)) == listed()


@pytest.mark.parametrize("misdeed", ["endless", "hang", "stall"])
def test_a_listing_without_end_is_asked_for_again(serve: Serve, monkeypatch: pytest.MonkeyPatch, misdeed: Any) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (0.2, 2.0))
    serve(BODIES, lambda request: None if request.attempt else misdeed)
    assert list(opened().list(METADATA)) == listed()


@pytest.mark.parametrize(
    ("misdeed", "message"),
    [
        ("disorder", "lists metadata/00008.json after metadata/00009.json; a bucket must list in the order of keys"),
        ("repeat", "lists metadata/00000.json after metadata/00009.json; a bucket must list in the order of keys"),
        ("denied", f"denies access; set {endpoint.CREDENTIALS[0]} and its secret, or check"),
        ("gone", "cannot be reached; check the network and AWS_ENDPOINT_URL (it answers 404 Not Found)"),
        (
            "error_500",
            "cannot be reached; check the network and AWS_ENDPOINT_URL (it answers 500 Internal Server Error)",
        ),
        ("slow_down", "cannot be reached; check the network and AWS_ENDPOINT_URL (it answers 503 Service Unavailable)"),
        ("reset", "cannot be reached; check the network and AWS_ENDPOINT_URL ("),
        ("short", "cannot be reached; check the network and AWS_ENDPOINT_URL ("),
    ],
)
def test_a_listing_that_is_wrong_for_ever_is_a_fault(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, told_soon: None, small_pages: int, misdeed: Any, message: str
) -> None:
    monkeypatch.setattr(client, "PAGE", 2 * small_pages)
    serve(BODIES, lambda _: misdeed, page=small_pages)
    assert fault_of(lambda: list(opened().list(METADATA))).startswith(f"bucket {URL} {message}")


def test_a_bucket_that_is_written_to_meanwhile_is_a_fault(serve: Serve) -> None:
    bodies = dict(BODIES)

    def written(_: Request) -> None:
        bodies[KEYS[0]] += b"x"

    serve(bodies, written)
    assert fault_of(lambda: list(opened().list(METADATA))) == (
        f"bucket {URL} lists something else every time it is asked; wait until it is at rest"
    )


def test_folders_have_nothing_of_each_other(serve: Serve) -> None:
    bodies = {
        "metadata.json": b"",
        "metadata-old/1.json": b"",
        "bin-images/1.jpg": b"x",
        "metadata/1.json": b"y",
        "z": b"",
    }
    serve(bodies)
    assert [entry.key for entry in opened().list(METADATA)] == ["metadata/1.json"]
    assert [entry.key for entry in opened().list(PHOTOS)] == ["bin-images/1.jpg"]
    assert list(opened().list("bin")) == []


@pytest.mark.parametrize("page", [3, 4, 10])  # one key of a page is that of the page before
def test_the_marks_of_folders_are_in_nobody_s_way(serve: Serve, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """What consoles make when a folder is made: a key that ends in a slash."""
    monkeypatch.setattr(client, "PAGE", page)
    serve({"metadata/": b"", "bin-images/": b"", "bin-images/1.jpg": b"x"}, page=page)
    assert [entry.key for entry in opened().list(METADATA)] in ([], ["metadata"])
    bodies = {f"metadata/{name}": b"x" for name in ("1", "1-", "1.json", "1/a", "2.json", "a/x", "b")}
    for folder in ("", "1/", "2/", "a/", "b/", "z/"):
        serve({**bodies, f"metadata/{folder}": b""}, page=page)
        keys = [entry.key for entry in opened().list(METADATA)]
        assert set(keys) - set(bodies) <= {f"metadata/{folder}".rstrip("/")}
        assert [key for key in keys if key in bodies] == sorted(bodies)


def test_a_listing_of_which_little_is_wanted_is_begun_little_of(serve: Serve, small_pages: int) -> None:
    served = serve(BODIES, page=small_pages)
    first = list(itertools.islice(opened().list(METADATA, 15), 15))
    assert first == listed()[:15]
    time.sleep(0.05)
    few = served.record().requests["list", 200]
    list(opened().list(METADATA))
    assert few < served.record().requests["list", 200] - few


NAMES = st.one_of(
    st.integers(0, 10**6).map(str),
    st.integers(0, 10**5).map(lambda n: f"{n:05}"),
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"], exclude_characters="/\u2028\u2029"), min_size=1, max_size=6
    ).filter(lambda name: name not in {".", ".."}),
)  # fmt: skip
STRANGE = {
    "0",
    "00",
    "07",
    "07.json",
    "0x",
    "7",
    "70",
    "~",
    " ",
    "!",
    "a b",
    "é",
    "\u00ff",
    "\ud7ff",
    "\U0001f4e6",
    "99",
    "99999",
    ":",
}


@pytest.mark.slow
def test_whatever_the_keys_are_called_all_are_listed_in_their_order(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 3)
    monkeypatch.setattr(listing, "LOOKS", 1)
    monkeypatch.setattr(listing, "LOOKS_EMPTY", 1)
    bodies: dict[str, bytes] = {}
    serve(bodies, page=3)

    @settings(max_examples=30)
    @given(names=st.sets(NAMES, max_size=30))
    @example(names=STRANGE)
    @example(names={f"{n}" for n in range(200)})
    @example(names={f"{n:02}" for n in range(100)})
    def check(names: set[str]) -> None:
        bodies.clear()
        bodies.update({f"{METADATA}/{name}": name.encode() for name in names}, **{"bin-images/1.jpg": b"", "n": b""})
        bucket = opened(8)
        entries = list(bucket.list(METADATA))
        assert [entry.key for entry in entries] == sorted(f"{METADATA}/{name}" for name in names)
        assert all(bucket.get(entry) == bodies[entry.key] for entry in entries[:5])

    check()


# ---- a folder


def test_a_file_that_changed_after_the_listing_is_a_fault(tmp_path: Path) -> None:
    url = mirror(BODIES, tmp_path)
    bucket = open_bucket(url, 4)
    entries = list(bucket.list(METADATA))
    assert dict(bucket.get_many(entries)) == {entry: BODIES[entry.key] for entry in entries}
    (tmp_path / KEYS[3]).unlink()
    assert bucket.get(entries[3]) == Unreadable("missing")
    (tmp_path / KEYS[4]).write_bytes(b"other")
    with pytest.raises(
        UserError, match=rf"{KEYS[4]} is no longer what was listed \({len(BODIES[KEYS[4]])} bytes, now 5\)"
    ):
        bucket.get(entries[4])


def test_a_file_has_another_stamp_when_it_is_touched(tmp_path: Path) -> None:
    bucket = open_bucket(mirror(BODIES, tmp_path))
    entry = next(bucket.list(METADATA))
    stamps = [bucket.stamp(entry)]
    assert stamps[0] == bucket.stamp(entry)
    (tmp_path / entry.key).write_bytes(BODIES[entry.key])
    stamps.append(bucket.stamp(entry))
    (tmp_path / "other").write_bytes(BODIES[entry.key])
    (tmp_path / "other").rename(tmp_path / entry.key)
    stamps.append(bucket.stamp(entry))
    (tmp_path / entry.key).unlink()
    stamps.append(bucket.stamp(entry))
    assert len(set(stamps)) == 4


def test_a_moment_of_html_does_not_end_a_listing(
    serve: Serve, small_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that answers everything with a page of its own for a while: obstore takes each for the end of the keys."""
    monkeypatch.setattr(retry, "PAUSES", (0.05, 0.2))
    began: list[float] = []

    def html(request: Request) -> str | None:
        if request.kind == "list" and request.key > "metadata/00100":
            began.append(time.monotonic())
        return "html" if began and time.monotonic() - began[0] < 0.3 else None

    served = serve(BODIES, html, page=small_pages)
    assert list(opened().list(METADATA)) == listed()
    assert served.record().faults["html"] > 1


def test_one_object_that_is_always_busy_is_given_up_and_the_rest_comes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "SILENCE", 0.5)
    serve(BODIES, only(KEYS[5], "slow_down"))
    came = read(opened())
    assert came[KEYS[5]] == Unreadable("could not be had in 0 seconds: it answers 503 Service Unavailable")
    assert {**came, KEYS[5]: BODIES[KEYS[5]]} == BODIES


@pytest.mark.slow
def test_retry_after_nothing_is_no_leave_to_hurry(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.1, 0.4))
    served = serve(BODIES, lambda request: Misdeed("slow_down", 0) if request.attempt < 8 else None)
    assert read(opened(), listed()[:1]) == {KEYS[0]: BODIES[KEYS[0]]}
    times = [when for when, *_ in served.record().times]
    assert times[-1] - times[0] > 0.05 + 0.1 + 0.2  # every other request is the plain one that reads the header


def test_a_bucket_that_is_busy_all_along_is_refused_and_no_object_of_it_given_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "SILENCE", 0.5)
    monkeypatch.setattr(retry, "FIRST_SILENCE", 0.5)
    serve(BODIES, lambda _: "slow_down")
    came: list[Body] = []
    message = fault_of(lambda: came.extend(body for _, body in opened().get_many(listed())))
    assert message.startswith(f"bucket {URL} cannot be reached")
    assert "503" in message
    assert came == []
