"""Ids of five digits, of six from 100,000 on, in the order of strings."""

from collections.abc import Iterator


def padded(last: int) -> Iterator[str]:
    """00001 to `last` as strings, in the order of strings: 10000, 100000, ... 100009, 10001."""
    for number in range(1, min(last, 9999) + 1):
        yield f"{number:05d}"
    for number in range(10000, min(last, 99999) + 1):
        yield from _continued(number, last)


def _continued(number: int, last: int) -> Iterator[str]:
    """The number and all up to `last` that begin with it."""
    yield str(number)
    for longer in range(number * 10, min(number * 10 + 9, last) + 1):
        yield from _continued(longer, last)
