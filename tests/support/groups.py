"""Which tests run one after the other in one process of pytest -n."""

import pytest

# What takes long to make: in one process it is made once, and the tests that share it begin first.
SHARED = ("reproduced", "account")


def group_of(item: pytest.Item) -> str:
    """Of tests that share something, or of those of one file. By names: no other fixture may be called so (test_laws.py)."""
    fixtures = getattr(item, "fixturenames", ())
    return next((name for name in SHARED if name in fixtures), str(item.path))
