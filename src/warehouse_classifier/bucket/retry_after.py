"""Retry-After: how long a busy server wants to be left in peace."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 120.0  # seconds that a server can ask for by Retry-After


def seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header says, which is a number or a date; at most LONGEST_WAIT. None if it says neither."""
    try:
        wait = float(retry_after or "")
    except ValueError:
        try:
            wait = (parsedate_to_datetime(retry_after or "") - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(LONGEST_WAIT, max(0.0, wait)) if wait == wait else None
