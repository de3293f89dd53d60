"""What can go wrong with one request, and obstore's long errors in few words."""

import re


class TransientError(Exception):
    """One try failed, and the next may not. `busy`: because the server has too much to do."""

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


class WrongAnswer(Exception):
    """What came is not what was listed. `etag`: of what came, where that is an object, and whole."""

    def __init__(self, reason: str, etag: str | None = None) -> None:
        super().__init__(reason)
        self.etag = etag


class ObjectRefused(Exception):
    """The server will not give this object."""


def reason_of(error: Exception) -> str:
    """The few words that matter of what obstore says at length."""
    whole = " ".join(str(error).split())
    for pattern, words in (
        (r"status code: (\d+[A-Za-z ]*)", r"it answers \1"),
        (r"InvalidCertificate\( ?(\w+)", r"\1"),
        (r"dns error", "no such host is known"),
        (r'message: "([^"]+)"', r"\1"),
        (r"Timeout|TimedOut", "no answer in time"),
        (r"IncompleteBody|Interrupted", "the connection was cut"),
    ):
        if match := re.search(pattern, whole):
            return match.expand(words).strip()
    return whole.partition(" Debug source")[0][:300]
