"""What a container says, line by line as it comes, in CloudWatch."""

import contextlib
import os
import selectors
import threading
import time
from typing import IO

from sagemaker_emulator.cloud import ERRORS, Cloud

GROUP = "/aws/sagemaker/TrainingJobs"
SEND_EVERY, BATCH = 0.1, 500  # seconds between two batches of lines, and lines that do not wait so long
LONGEST = 256_000  # bytes of a line; CloudWatch takes no longer ones


class Log:
    """One stream, which a thread fills from `pipe`. Raises one of ERRORS where there is no CloudWatch."""

    def __init__(self, cloud: Cloud, stream: str, pipe: IO[bytes]) -> None:
        self.cloud, self.stream, self.pipe = cloud, stream, pipe
        self.waiting: list[tuple[float, bytes]] = []
        with contextlib.suppress(cloud.logs.exceptions.ResourceAlreadyExistsException):
            cloud.logs.create_log_group(logGroupName=GROUP)
        cloud.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Wait until all of it is there; a process that got away may hold the pipe, and is not waited for."""
        self.over.set()
        self.thread.join()

    def _follow(self) -> None:
        begun, sent = b"", time.monotonic()
        with selectors.DefaultSelector() as selector, self.pipe:
            selector.register(self.pipe, selectors.EVENT_READ)
            while True:
                readable = selector.select(SEND_EVERY / 2)
                read = os.read(self.pipe.fileno(), 1 << 16) if readable else b""
                *lines, begun = (begun + read).split(b"\n")
                if len(begun) > LONGEST:
                    lines, begun = [*lines, begun], b""
                self.waiting += [(time.time(), line) for line in lines]
                if time.monotonic() - sent > SEND_EVERY or len(self.waiting) > BATCH:
                    self._send()
                    sent = time.monotonic()
                if not read and (readable or self.over.is_set()):
                    break
        self.waiting.append((time.time(), begun))
        self._send()

    def _send(self) -> None:
        events = [
            {"timestamp": int(when * 1000), "message": line[:LONGEST].decode(errors="replace")}
            for when, line in self.waiting
            if line.strip()  # CloudWatch takes no empty ones
        ]
        self.waiting = []
        try:
            if events:
                self.cloud.logs.put_log_events(logGroupName=GROUP, logStreamName=self.stream, logEvents=events)
        except ERRORS:  # a job does not end because nobody hears it
            return
