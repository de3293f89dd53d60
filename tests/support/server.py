"""A small, fast, read-only S3 server on loopback that misbehaves when it is told to.

    with serving(Store({"metadata/1.json": b"{}"}, fault=plan(7, {"flip": 0.05, Misdeed("slow_down", 2): 0.1}))) as served:
        ...  # served.url for AWS_ENDPOINT_URL, s3://bins for the bucket, served.record() for what was asked of it

It speaks path-style GET, HEAD and ListObjectsV2 over HTTP/1.1 and believes every signature. Faults are real on the wire.
"""

import asyncio
import copy
import datetime as dt
import hashlib
import ipaddress
import multiprocessing
import re
import socket
import ssl
import struct
import tempfile
import threading
import time
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast, get_args
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

OBJECT = Literal[
    "slow_down",  # 503; the value is Retry-After in seconds, none without one
    "too_many",  # 429, likewise
    "error_500", "denied", "expired", "gone",  # 500, 403, 400 ExpiredToken, 404
    "flip",  # one bit of the body; every header right
    "short",  # the first half, and Content-Length says so; the right ETag
    "truncated",  # the first half under the whole Content-Length, then the connection is closed
    "longer",  # a kilobyte more than there is, and Content-Length says so
    "endless",  # chunks that never end; with a value that is the Content-Length, the same bytes over and over
    "html",  # 200, a page to sign in, no ETag
    "reset", "reset_midway",  # RST before the first byte, or after half of the body
    "hang", "stall",  # nothing, or half of the body, and then silence
    "trickle",  # the body at `value` bytes a second, 100 if none
    "late",  # the right answer, `value` seconds later
]  # fmt: skip
LISTING = Literal[
    "empty_page",  # no keys, though the listing goes on
    "repeat",  # the page, and then the same page again
    "disorder",  # the page's keys backwards
    "no_token",  # it goes on, but does not say where
]
Kind = OBJECT | LISTING
REFUSALS = {
    "slow_down": (503, "SlowDown"), "too_many": (429, "TooManyRequests"), "error_500": (500, "InternalError"),
    "denied": (403, "AccessDenied"), "expired": (400, "ExpiredToken"), "gone": (404, "NoSuchKey"),
}  # fmt: skip
HTML = b"<!DOCTYPE html><html><body>please sign in</body></html>"
SINCE = "<LastModified>2020-01-01T00:00:00.000Z</LastModified>"


class Misdeed(NamedTuple):
    """A way to misbehave, and its number where it has one."""

    kind: Kind
    value: float | None = None


class Request(NamedTuple):
    """What a fault is chosen by. For a listing `key` is the key that the page starts after, or the prefix."""

    kind: Literal["get", "list"]
    key: str
    attempt: int  # how often the same was asked before
    connection: int  # from 0, in the order of connecting


class Objects(Protocol):
    """Keys and bodies: a dict, which may change meanwhile, or `Drawn`."""

    def keys(self) -> Any: ...
    def __getitem__(self, key: str, /) -> bytes: ...


class Drawn:
    """A bucket of any size: its keys, and a function from one of them to its body, best one of a few templates."""

    def __init__(self, keys: list[str], body: Callable[[str], bytes]) -> None:
        self._keys = sorted(keys)
        self._body = body

    def keys(self) -> list[str]:
        return self._keys

    def __getitem__(self, key: str, /) -> bytes:
        at = bisect_left(self._keys, key)
        if self._keys[at : at + 1] != [key]:
            raise KeyError(key)
        return self._body(key)


Shares = Mapping[Misdeed | Kind, float]


@dataclass(frozen=True)
class Faults:
    """A seeded fault for each (kind, key, attempt); see `plan`."""

    seed: int
    gets: Shares
    lists: Shares
    connections: Shares
    until: int | None

    def __call__(self, request: Request) -> Misdeed | Kind | None:
        if self.until is not None and request.attempt >= self.until:
            return None
        of_key = self.gets if request.kind == "get" else self.lists
        return self._draw(self.connections, request.connection) or self._draw(of_key, *request[:3])

    def _draw(self, shares: Shares, *parts: object) -> Misdeed | Kind | None:
        if not shares:
            return None
        at = int.from_bytes(hashlib.blake2b(repr((self.seed, *parts)).encode(), digest_size=8).digest(), "big") / 2**64
        for kind, share in shares.items():
            at -= share
            if at < 0:
                return kind
        return None


def plan(
    seed: int,
    gets: Shares,
    lists: Shares | None = None,
    connections: Shares | None = None,
    until: int | None = None,
) -> Faults:
    """Faults by their shares of all gets, of all listings, and of connections (for all that is asked on one).

    A key that was asked for `until` times is served well from then on.
    """
    return Faults(seed, gets, lists or {}, connections or {}, until)


@dataclass
class Record:
    """What a store was asked and did. Times are those of time.monotonic()."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)  # by kind and status; 0: no status was sent
    faults: Counter[str] = field(default_factory=Counter)
    times: deque[tuple[float, str, str, str]] = field(default_factory=lambda: deque(maxlen=20_000))  # kind, key, fault
    in_flight: int = 0
    peak_in_flight: int = 0  # means nothing without a latency: an answer is written before the next request is read
    connections: int = 0
    open: int = 0
    peak_open: int = 0
    dropped: int = 0  # connections that the client closed before it had its answer
    sent: int = 0  # bytes of bodies
    cpu: float = 0.0  # seconds of the whole process


@dataclass
class Store:
    """A bucket to serve, and how. For a process of its own, `objects` may be what makes them there."""

    objects: Objects | Callable[[], Objects]
    fault: Callable[[Request], Misdeed | Kind | None] | None = None
    etags: Mapping[str, str | None] = field(default_factory=dict)  # where it is not the MD5, without quotes; None: none
    bucket: str = "bins"
    page: int = 1000
    latency: float = 0.0  # seconds before each answer
    tls: bool = False  # https with a certificate that nobody trusts


@dataclass
class Served:
    """A store that listens: its address, and its record as it is now."""

    url: str
    record: Callable[[], Record]


@contextmanager
def serving(store: Store, *, process: bool = False) -> Iterator[Served]:
    """Serve from a thread, or from a process of its own that is started afresh (so the store must pickle)."""
    if not process:
        with _thread(store) as served:
            yield served
        return
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_serve, args=(store, theirs), daemon=True)
    child.start()
    theirs.close()  # so that the child's death is heard

    def record() -> Record:
        ours.send(None)
        return cast("Record", ours.recv())

    try:
        yield Served(ours.recv(), record)
    finally:
        ours.close()
        child.join()


def _serve(store: Store, pipe: Connection) -> None:
    with _thread(store) as served:
        pipe.send(served.url)
        while True:
            try:
                pipe.recv()
                pipe.send(served.record())
            except (EOFError, OSError):
                return


@contextmanager
def _thread(store: Store) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    bucket = _Bucket(store)
    secure = _untrusted() if store.tls else None

    async def start() -> asyncio.Server:
        return await loop.create_server(lambda: _Connection(bucket, loop), "127.0.0.1", 0, ssl=secure, backlog=1024)

    async def record() -> Record:
        bucket.record.cpu = time.process_time()
        return copy.deepcopy(bucket.record)

    async def stop() -> None:
        server.close()
        for connection in list(bucket.connected):
            connection.end()
        await asyncio.sleep(0)  # for the sockets to close

    server: asyncio.Server = call(start())
    port = server.sockets[0].getsockname()[1]
    try:
        yield Served(f"http{'s' * store.tls}://127.0.0.1:{port}", lambda: cast("Record", call(record())))
    finally:
        call(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@lru_cache(8192)  # bytes remember their hash, so a body that is asked for again costs a look-up
def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


class _Answer(NamedTuple):
    status: int
    body: bytes
    fields: str = ""  # header lines beside Content-Length

    def head(self, length: str) -> bytes:
        return f"HTTP/1.1 {self.status} X\r\n{length}\r\n{self.fields}\r\n".encode()

    def part(self, start: int, last: int) -> "_Answer":
        size = len(self.body)
        if self.status != 200 or start >= size:
            return self if self.status != 200 else _refusal(416, "InvalidRange")
        body = self.body[start : last + 1]
        at = f"Content-Range: bytes {start}-{start + len(body) - 1}/{size}\r\n"
        return _Answer(206, body, self.fields + at)

    def whole(self) -> bytes:
        return self.head(f"Content-Length: {len(self.body)}") + self.body


def _refusal(status: int, code: str, retry_after: float | None = None) -> _Answer:
    fields = "Content-Type: application/xml\r\n" + (f"Retry-After: {retry_after:g}\r\n" if retry_after else "")
    return _Answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), fields)


class _Bucket:
    """What the connections share: the right answers, and the record."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.objects: Objects = store.objects() if callable(store.objects) else store.objects
        self.record = Record()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.connected: set[_Connection] = set()

    def etag(self, key: str, body: bytes) -> str | None:
        return self.store.etags[key] if key in self.store.etags else _md5(body)

    def get(self, key: str, if_match: str | None) -> _Answer:
        try:
            body = self.objects[key]
        except KeyError:
            return _refusal(404, "NoSuchKey")
        etag = self.etag(key, body)
        if if_match not in (None, "*", etag):
            return _refusal(412, "PreconditionFailed")
        fields = "Content-Type: application/octet-stream\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n"
        return _Answer(200, body, fields if etag is None else f'{fields}ETag: "{etag}"\r\n')

    def list(self, prefix: str, after: str, most: int, kind: str | None) -> _Answer:
        keys = self.objects.keys()
        if not isinstance(keys, list):
            keys = sorted(keys)
        at = max(bisect_right(keys, after), bisect_left(keys, prefix))
        page = keys[at : at + min(most, self.store.page)]
        page = page[: bisect_right(page, prefix, key=lambda key: key[: len(prefix)])]
        more = keys[at + len(page) : at + len(page) + 1]
        truncated = bool(page and more and more[0].startswith(prefix)) or kind in get_args(LISTING)
        token = page[-1] if page else after
        if kind in ("empty_page", "repeat"):
            page, token = [] if kind == "empty_page" else page, after
        rows = "".join(self._row(key) for key in (reversed(page) if kind == "disorder" else page))
        onwards = truncated and kind != "no_token"
        # a token is the key to go on after; the letter keeps the one of the beginning from being empty
        going_on = f"<NextContinuationToken>t{escape(token)}</NextContinuationToken>" if onwards else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self.store.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{going_on}{rows}</ListBucketResult>"
        )
        return _Answer(200, text.encode(), "Content-Type: application/xml\r\n")

    def _row(self, key: str) -> str:
        try:
            body = self.objects[key]
        except KeyError:  # it went while the page was made
            return ""
        etag = self.etag(key, body)
        of_etag = "" if etag is None else f"<ETag>&quot;{etag}&quot;</ETag>"
        return f"<Contents><Key>{escape(key)}</Key>{SINCE}{of_etag}<Size>{len(body)}</Size></Contents>"


class _Connection(asyncio.Protocol):
    """One client's connection; it answers one request after the other."""

    def __init__(self, bucket: _Bucket, loop: asyncio.AbstractEventLoop) -> None:
        self.bucket, self.record, self.loop = bucket, bucket.record, loop
        self.rest = b""
        self.busy = False
        self.ended = False
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.number = self.record.connections
        self.record.connections += 1
        self.record.open += 1
        self.record.peak_open = max(self.record.peak_open, self.record.open)
        self.bucket.connected.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.record.open -= 1
        self.bucket.connected.discard(self)
        if self.task:
            self.task.cancel()
        if self.busy:
            self.record.dropped += not self.ended
            self.done()

    def end(self, *, reset: bool = False) -> None:
        self.ended = True
        if reset and (sock := self.transport.get_extra_info("socket")):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while not self.busy and b"\r\n\r\n" in self.rest:
            head, _, self.rest = self.rest.partition(b"\r\n\r\n")
            self.busy = True
            self.record.in_flight += 1
            self.record.peak_in_flight = max(self.record.peak_in_flight, self.record.in_flight)
            if self.bucket.store.latency:
                self.loop.call_later(self.bucket.store.latency, self.answer, head.decode("latin-1"))
            else:
                self.answer(head.decode("latin-1"))

    def answer(self, head: str) -> None:
        if self.transport.is_closing():
            return
        store = self.bucket.store
        line, _, fields = head.partition("\r\n")
        method, target, _ = line.split(" ", 2)
        path, _, query = target.partition("?")
        name, _, key = unquote(path).removeprefix("/").partition("/")
        fault = Misdeed("late")
        if name != store.bucket:
            kind, answer = "get" if key else "list", _refusal(404, "NoSuchBucket")
        elif method not in ("GET", "HEAD") or re.search("delimiter=[^&]", query):
            kind, answer = "other", _refusal(501, "NotImplemented")
        elif key:
            kind = "get" if method == "GET" else "head"
            fault = self.choose("get", key) if method == "GET" else fault
            match = (
                re.search(r'^if-match: *"?([^"\r]*)', fields, re.IGNORECASE | re.MULTILINE) if "f-" in fields else None
            )
            answer = self.bucket.get(key, match[1] if match else None)
            if span := re.search(r"^range: *bytes=(\d+)-(\d*)\r?$", fields, re.IGNORECASE | re.MULTILINE):
                answer = answer.part(int(span[1]), int(span[2] or len(answer.body)))
        else:
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            prefix, start = asked.get("prefix", ""), asked.get("start-after", "")
            after = asked["continuation-token"][1:] if "continuation-token" in asked else start
            kind, key = "list", after or prefix
            fault = self.choose("list", key)
            answer = self.bucket.list(prefix, after, int(asked.get("max-keys", "1000")), fault.kind)
        misbehaves = fault != ("late", None)
        self.record.times.append((time.monotonic(), kind, key, fault.kind if misbehaves else ""))
        if misbehaves:
            self.record.faults[fault.kind] += 1
        if fault.kind in REFUSALS:
            answer = _refusal(*REFUSALS[fault.kind], fault.value)
        elif fault.kind == "html":
            answer = _Answer(200, HTML, "Content-Type: text/html\r\n")
        self.record.requests[kind, 0 if fault.kind in ("reset", "hang") else answer.status] += 1
        if method == "HEAD":
            self.send(answer.head(f"Content-Length: {len(answer.body)}"), 0)
        elif not misbehaves or fault.kind in REFUSALS or fault.kind in ("html", *get_args(LISTING)):
            self.send(answer.whole(), len(answer.body))
        else:
            self.task = self.loop.create_task(self.misbehave(fault, answer, key))

    def choose(self, kind: Literal["get", "list"], key: str) -> Misdeed:
        if not self.bucket.store.fault:
            return Misdeed("late")
        attempt = self.bucket.asked[kind, key]
        self.bucket.asked[kind, key] += 1
        fault = self.bucket.store.fault(Request(kind, key, attempt, self.number))
        return fault if isinstance(fault, Misdeed) else Misdeed(fault or "late")

    def send(self, data: bytes, of_body: int, *, last: bool = True) -> None:
        self.transport.write(data)
        self.record.sent += of_body
        if last:
            self.done()

    def done(self) -> None:
        self.busy = False
        self.record.in_flight -= 1

    async def misbehave(self, fault: Misdeed, answer: _Answer, key: str) -> None:
        body, half = answer.body, answer.body[: len(answer.body) // 2]
        whole = answer.head(f"Content-Length: {len(body)}")
        match fault.kind:
            case "flip":
                flipped = bytearray(body)
                if body:
                    asked = (
                        self.bucket.asked["get", key] + self.bucket.asked["list", key]
                    )  # another bit each time, as noise does
                    at = zlib.crc32(f"{key} {asked}".encode()) % (8 * len(body))
                    flipped[at // 8] ^= 1 << at % 8
                self.send(whole + flipped, len(body))
            case "short":
                self.send(answer._replace(body=half).whole(), len(half))
            case "longer":
                self.send(answer._replace(body=body + bytes(1024)).whole(), len(body) + 1024)
            case "truncated":
                self.send(whole + half, len(half))
                self.transport.close()
            case "stall":
                self.send(whole + half, len(half), last=False)
            case "reset_midway":
                self.send(whole + half, len(half), last=False)
                await asyncio.sleep(0.02)  # or the RST could overtake what it follows
                self.end(reset=True)
            case "reset":
                self.end(reset=True)
            case "late":
                await asyncio.sleep(fault.value or 0)
                self.send(answer.whole(), len(body))
            case "trickle":
                step = max(1, round((fault.value or 100) / 10))
                self.send(whole, 0, last=False)
                for at in range(0, len(body), step):
                    await asyncio.sleep(0.1)
                    self.send(body[at : at + step], len(body[at : at + step]), last=False)
                self.done()
            case "endless":
                promised = fault.value and f"Content-Length: {fault.value:.0f}"
                self.send(answer.head(promised or "Transfer-Encoding: chunked"), 0, last=False)
                chunk = (body or b"\0") * (1 + 2**16 // (len(body) + 1))
                framed = chunk if promised else f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
                while True:
                    if self.transport.get_write_buffer_size() < 2**20:
                        self.send(framed, len(chunk), last=False)
                    await asyncio.sleep(0.001)


def _untrusted() -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "both.pem").write_bytes(private + certificate.public_bytes(pem))
        context.load_cert_chain(Path(folder) / "both.pem")
    return context
