"""Work on many things at once that comes out in the order it went in."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int) -> Iterator[tuple[A, B]]:
    """`work` of each item on the pool, given back in the order of items, at most `ahead` of them begun beforehand."""
    begun: deque[tuple[A, Future[B]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(work, item)))
            if len(begun) > ahead:
                item, future = begun.popleft()
                yield item, future.result()
        while begun:
            item, future = begun.popleft()
            yield item, future.result()
    finally:
        for _, future in begun:
            future.cancel()
