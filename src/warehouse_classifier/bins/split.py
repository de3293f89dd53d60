"""Share bins out to train, validation and test: whole groups, stratified by quantity."""

import hashlib
from collections import Counter, defaultdict


def share_out(quantity: dict[str, int], group: dict[str, str], sizes: dict[str, int], seed: int) -> dict[str, str]:
    """The split of each bin that gets one: whole groups, stratified by quantity, never more than `sizes`.

    `quantity`, `group`: by id. Groups are dealt out largest first, then in an order drawn from the seed and the group's name
    alone, each to the split that still lacks the largest share of such bins. What is not asked for is dealt out in the same
    way, so it takes a fair share of every quantity too, and what no split has room for goes there.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for id in sorted(quantity):
        members[group[id]].append(id)
    left = {**sizes, "unused": len(quantity) - sum(sizes.values())}
    per_quantity = Counter(quantity.values())
    # what each split still lacks of each quantity, and what it was to get
    target = {name: {q: size * n / len(quantity) for q, n in per_quantity.items()} for name, size in left.items()}
    lacks = {name: dict(shares) for name, shares in target.items()}
    split = {}
    for name in sorted(members, key=lambda name: (-len(members[name]), drawn(seed, name))):
        counts = Counter(quantity[id] for id in members[name])
        room = [to for to in left if left[to] >= len(members[name])]
        to = max(
            room, key=lambda to: sum(n * lacks[to][q] / target[to][q] for q, n in counts.items()), default="unused"
        )
        left[to] -= len(members[name])
        for q, n in counts.items():
            lacks[to][q] -= n
        split.update(dict.fromkeys(members[name], to))
    return {id: to for id, to in split.items() if to != "unused"}


def drawn(seed: int, name: str) -> bytes:
    """32 bytes that depend on the seed and the name of a bin or group alone: sorted by them is in random order."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
