"""The processes that train one network together, as torchrun numbers them in the environment."""

import os

MEETING = "TEAM_MEETING"


def size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Of this process among all: 0 is the one that speaks, saves and writes."""
    return int(os.environ.get("RANK", "0"))


def local_size() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_rank() -> int:
    """Of this process among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def meeting() -> str | None:
    """The file in which they find each other, where the launcher started them; torchrun gives an address instead."""
    return os.environ.get(MEETING)
