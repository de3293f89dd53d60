"""Work on many things at once that comes out in the order it went in."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ordered_map(
    pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int, weight: Callable[[A], int] = lambda _: 1
) -> Iterator[tuple[A, B]]:
    """`work` of each item on the pool, given back in the order of items.

    At most `ahead` of them, by their `weight`, and the one that is next are begun beforehand.
    """
    begun: deque[tuple[A, Future[B]]] = deque()
    held = 0
    try:
        for item in items:
            begun.append((item, pool.submit(work, item)))
            held += weight(item)
            while held > ahead and len(begun) > 1:
                item, future = begun.popleft()
                held -= weight(item)
                yield item, future.result()
        while begun:
            item, future = begun.popleft()
            yield item, future.result()
    finally:
        for _, future in begun:
            future.cancel()
