"""Retry-After, as servers may write it."""

import pytest

from warehouse_classifier.bucket import retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3), ("0", 0), ("0.5", 0.5), (" 7 ", 7), ("-5", 0), ("1e9", retry_after.LONGEST_WAIT), ("inf", retry_after.LONGEST_WAIT),
        ("nan", None), ("soon", None), ("", None), (None, None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", retry_after.LONGEST_WAIT), ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 09:28:00 +0200", 0), ("Wed, 21 Oct 2015 07:28:00", None),
    ],
)  # fmt: skip
def test_what_a_wait_is(header: str | None, seconds: float | None) -> None:
    assert retry_after.seconds(header) == seconds
