"""A DVC remote for those without an account: an S3 server on loopback, until Ctrl-C.

    python -m warehouse_classifier.compute.local_s3 <port>, as `make s3` says it

Meanwhile .dvc/config.local, which git ignores, leads DVC to the server. What stood there is kept in .dvc/tmp, which git
ignores too, and comes back in the end; after a kill, at the end of the next run.
"""

import fcntl
import http.client
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing

HOST = "127.0.0.1"  # and no other: the server asks nobody for a password
REMOTE, BUCKET = "storage", "warehouse"
KEY, SECRET = "nobody-of-make-s3", "none"  # the server takes any; these tell our config.local from people's own
CONFIG, KEPT = Path(".dvc/config.local"), Path(".dvc/tmp/config.local.kept")


def serve(port: int) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises UserError if that cannot begin."""
    # blocked, not handled: whenever one comes, it waits until all is set up, and cannot interrupt the putting back
    ends = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        ends.add(signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with alone():
        put_back()
        with server(port, "s3") as address, led_to(address):
            _say(address)
            signal.sigwait(ends)
    print(f"ended; {CONFIG} is again what it was", flush=True)


def put_back() -> None:
    """Undo what a server wrote, be it one that was killed; whoever has freed config.local from it by hand keeps theirs."""
    if not CONFIG.exists() or KEY.encode() in CONFIG.read_bytes():
        if KEPT.exists():
            KEPT.replace(CONFIG)
        else:
            CONFIG.unlink(missing_ok=True)
    KEPT.unlink(missing_ok=True)


@contextmanager
def alone() -> Iterator[None]:
    """Keep all others out that would write the same file. Raises UserError."""
    if not CONFIG.parent.is_dir():
        raise UserError("there is no .dvc here; run this in the project's folder")
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.with_name("s3.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError("a server of this project is running already; use it, or end it with Ctrl-C") from None
        yield


@contextmanager
def server(port: int, target: str) -> Iterator[str]:
    """Yield the address of a server that holds the empty bucket. `target`: make's. Raises UserError."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise UserError(f"the S3 server is not installed ({error}); `make {target}` installs and starts it") from None
    try:
        socket.create_server((HOST, port)).close()  # moto would tell its own thread alone, and wait for ever
    except OSError as error:
        why = f"port {port} of {HOST} cannot be had ({os.strerror(error.errno or 0)})"
        raise UserError(f"{why}; name another: `make {target} PORT={port + 100 if port < 65000 else 9000}`") from None
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    moto = ThreadedMotoServer(HOST, port, verbose=False)
    moto.start()
    try:
        asked = http.client.HTTPConnection(HOST, port)  # boto3 would need a sound ~/.aws, urllib might go by a proxy
        asked.request("PUT", f"/{BUCKET}")
        if asked.getresponse().status != http.client.OK:
            raise UserError(f"the S3 server on port {port} does not make a bucket")
        yield f"http://{HOST}:{port}"
    finally:
        moto.stop()


@contextmanager
def led_to(address: str) -> Iterator[None]:
    """Meanwhile config.local leads DVC there. Raises UserError."""
    if CONFIG.exists():
        with replacing(KEPT) as half:
            shutil.copy2(CONFIG, half)
    try:
        _lead_to(address)
        yield
    finally:
        put_back()


def _lead_to(address: str) -> None:
    """Let the remote be the server alone: a profile or an encryption of people's own bucket would only disturb."""
    from dvc.config import Config, ConfigError

    with tempfile.TemporaryDirectory(dir=KEPT.parent) as folder:
        draft = Path(folder) / CONFIG.name
        if CONFIG.exists():
            shutil.copy2(CONFIG, draft)
        try:
            with Config(CONFIG.parent, local_dvc_dir=folder).edit("local") as told:
                told["core"]["remote"] = REMOTE
                told["remote"][REMOTE] = {
                    "url": f"s3://{BUCKET}",
                    "endpointurl": address,
                    "region": "us-east-1",
                    "access_key_id": KEY,
                    "secret_access_key": SECRET,
                }
        except ConfigError as error:
            raise UserError(f"DVC cannot read its configuration: {error}") from None
        draft.replace(CONFIG)


def _say(address: str) -> None:
    # DVC asks a proxy for everything that no_proxy does not name
    by_proxy = "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(address.split("//")[1])
    first = f"no_proxy={HOST} " if by_proxy else ""
    print(f"an S3 server on {address} holds the empty bucket {BUCKET}, and {CONFIG} leads DVC to it")
    print(f"in another terminal: {first}dvc push, {first}dvc pull")
    print(f"Ctrl-C ends it: what was pushed is then forgotten, and {CONFIG} is again what it was", flush=True)


def main(words: list[str]) -> int:
    try:
        if len(words) != 1 or not words[0].isdecimal() or not 0 < int(words[0]) < 65536:
            raise UserError(f"PORT is {' '.join(words) or 'missing'}, it must be a number from 1 to 65535")
        serve(int(words[0]))
    except (UserError, OSError) as wrong:
        print(f"error: {' '.join(str(wrong).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
