"""Texts that come from elsewhere, such as names of files, so that they can be written and shown."""

from collections.abc import Sequence


def encodable(text: str) -> str:
    """Names of files may be bytes of any kind, which no text can hold, and csv writes a bare \\r that it cannot read."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\r", "\\r")


def printable(text: str) -> str:
    """Nothing in it moves the cursor or changes the colour."""
    shown: Sequence[str] = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in encodable(text)]
    return "".join(shown)
