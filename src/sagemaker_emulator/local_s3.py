"""A DVC remote for those without an account: an S3 server on loopback, until Ctrl-C.

    python -m sagemaker_emulator.local_s3 <port>, as `make s3` says it

.dvc/config names it as the remote `laptop`, beside the default one: `dvc push -r laptop`, `dvc pull -r laptop`.
"""

import http.client
import logging
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import say_error

HOST, PORT = "127.0.0.1", 9000  # no other host: the server asks nobody for a password; the port of .dvc/config
REMOTE, BUCKET = "laptop", "warehouse"


def serve(port: int) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises UserError if that cannot begin."""
    # blocked, not handled: one that comes while all is set up waits for sigwait
    ends = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        ends.add(signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with server(port, "s3") as address:
        # DVC asks a proxy for everything that no_proxy does not name
        by_proxy = "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(f"{HOST}:{port}")
        first = f"no_proxy={HOST} " if by_proxy else ""
        print(f"an S3 server on {address} holds the empty bucket {BUCKET}, DVC's remote {REMOTE}")
        if port != PORT:
            print(f"lead DVC to this port: {lead_to(address)}")
        print(f"in another terminal: {first}dvc push -r {REMOTE}, {first}dvc pull -r {REMOTE}")
        print("Ctrl-C ends it: what was pushed is then forgotten", flush=True)
        signal.sigwait(ends)


def lead_to(address: str) -> str:
    """The command that has DVC look for the remote at another address than .dvc/config says."""
    return f"dvc remote modify --local {REMOTE} endpointurl {address}"


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
        raise UserError(f"{why}; name another: `make {target} PORT={port + 100 if port < 65000 else PORT}`") from None
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


def main(words: list[str]) -> int:
    """Returns the exit status."""
    try:
        if len(words) != 1 or not words[0].isdecimal() or not 0 < int(words[0]) < 65536:
            raise UserError(f"PORT is {' '.join(words) or 'missing'}, it must be a number from 1 to 65535")
        serve(int(words[0]))
    except (UserError, OSError) as error:
        say_error(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
