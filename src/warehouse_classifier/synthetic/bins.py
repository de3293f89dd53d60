"""The embedded bucket's content: which bins exist and what is in each, as a pure function of seed and id.

Nothing is kept and nothing is built by walking over the bins, so the real bucket's 535,234 pairs cost no more than ten.
What an id holds does not depend on how many pairs there are. Rates are those of the real bucket where it is known.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count

from warehouse_classifier.synthetic.ids import padded
from warehouse_classifier.synthetic.inventory import body, entry
from warehouse_classifier.synthetic.items import Item, draws, invent
from warehouse_classifier.synthetic.quantities import later, quantity_of
from warehouse_classifier.synthetic.rendering import VERSION, draw_bin
from warehouse_classifier.synthetic.sizes import CellSize, cell_size, room, volumes

RUN_LENGTHS = (1, 1, *[2] * 7, 3)  # photos of one bin in a row; equally likely
BLOCK = 24  # ids that are cut into runs together, so that a run is found without its far neighbours
STEP_UNPADDED = 9  # the unpadded ids are 1, 10, 19, ...: the real 1, 10, 100 and 523 are among them
LAST_UNPADDED = 1111  # how many there are below 10,000
EMPTY = 0.02
EMPTY_ALONE = 0.18  # of the bins without a neighbour, so that EMPTY of all bins hold nothing
NEW_GOOD = (
    0.7  # chance that one more unit is of a new article: gives the real 25 % one-article bins among those with two
)
MISCOUNTED = 0.03  # of the bins with 1 to 5 items the photo shows one more or one fewer
SUM_WRONG = 0.001  # of the bins, item quantities do not add up
STRAY = 1000  # the article number of a unit that the inventory does not know of


@dataclass(frozen=True)
class Run:
    """Consecutive photos of one bin: every unit that was ever in it, and which of them each photo finds there."""

    key: str
    cell: CellSize
    articles: tuple[int, ...]  # per unit, the number of its article
    present: tuple[tuple[int, ...], ...]  # per photo, the units

    def goods(self, seed: int, articles: Iterable[int]) -> dict[int, Item]:
        """Items by the number of their article: what they are does not depend on which are asked for."""
        wanted = set(articles)
        chances = {article: draws("volume", seed, self.key, article)[0] for article in wanted.union(self.articles)}
        volume = volumes(self.cell, self.articles, chances)
        return {
            article: invent(seed, self.key, article, volume=volume[article], room=room(self.cell)) for article in wanted
        }


class SyntheticBins:
    """Bins by id. Ids have five digits (six from 100,000 on); one in 500 has no padding, and is another bin."""

    def __init__(self, pairs: int, seed: int) -> None:
        self.pairs, self.seed = pairs, seed
        self._unpadded = min(pairs // 500, LAST_UNPADDED)
        self._padded = pairs - self._unpadded

    def ids(self) -> Iterator[str]:
        """All ids in lexicographic order, as a bucket lists them."""
        unpadded = sorted(str(1 + STEP_UNPADDED * k) for k in range(self._unpadded))
        return heapq.merge(padded(self._padded), unpadded)

    def __contains__(self, id: str) -> bool:
        if not (id.isascii() and id.isdigit() and len(id) < 20):
            return False
        number = int(id)
        if id == f"{number:05d}":
            return 1 <= number <= self._padded
        return id == str(number) and number % STEP_UNPADDED == 1 and number // STEP_UNPADDED < self._unpadded

    def metadata(self, id: str) -> bytes:
        """The JSON body, in the real schema, order and indentation. Raises KeyError for an id that is not there."""
        run, place = self._find(id)
        units = run.present[place]
        quantities = Counter(run.articles[unit] for unit in units)
        if units and draws(self.seed, "sum", id)[0] < SUM_WRONG:
            article = min(quantities)
            quantities[article] += -1 if quantities[article] > 1 else 1
        goods = run.goods(self.seed, quantities)
        items = sorted(entry(goods[article], quantity) for article, quantity in quantities.items())
        return body(items, len(units))

    def photo(self, id: str) -> bytes:
        """The JPEG body. Raises KeyError for an id that is not there."""
        run, place = self._find(id)
        articles, seen = self._seen(id, run, place)
        goods = run.goods(self.seed, articles)
        keys = f"{self.seed}/{run.key}", f"{self.seed}/{id}"
        return draw_bin(*keys, run.cell, [goods[article] for article in articles], seen)

    def shown(self, id: str) -> int:
        """How many items the photo really shows: not the quantity where an item was misplaced."""
        run, place = self._find(id)
        return len(self._seen(id, run, place)[1])

    def fingerprint(self, id: str, kind: str) -> str:
        """Stands for the bytes of one object without making them: it changes when seed, id, kind or renderer do."""
        return hashlib.sha256(f"{VERSION}/{self.seed}/{kind}/{id}".encode()).hexdigest()[:32]

    def _find(self, id: str) -> tuple[Run, int]:
        """The run that an id belongs to, and its place there."""
        if id not in self:
            raise KeyError(id)
        if len(id) < 5:
            return self._run(f"u{id}", 1), 0
        block, offset = divmod(int(id) - 1, BLOCK)
        first = 0
        chances = chain.from_iterable(draws(self.seed, "runs", block, more) for more in count())
        while True:
            length = min(RUN_LENGTHS[int(next(chances) * len(RUN_LENGTHS))], BLOCK - first)
            if offset < first + length:
                return self._run(f"{block * BLOCK + first + 1}", length), offset - first
            first += length

    def _run(self, key: str, length: int) -> Run:
        """What was in the bin, photo by photo: between two photos an item is picked or stowed."""
        d = draws(self.seed, "run", key)
        cell = cell_size(draws(self.seed, "cell", key)[:3])
        if length == 1 and d[0] < (EMPTY if key.startswith("u") else EMPTY_ALONE):
            return Run(key, cell, (), ((),))
        quantity = quantity_of(d[1])
        present = [tuple(range(quantity))]
        for photo in range(1, length):
            present.append(later(present[-1], max(map(max, present)) + 1, d[4 * photo : 4 * photo + 3]))
        units = max(map(max, present)) + 1
        return Run(key, cell, self._articles(key, units), tuple(present))

    def _articles(self, key: str, units: int) -> tuple[int, ...]:
        """The article of each unit: a new one, or that of an earlier unit. A later unit never changes an earlier one's."""
        articles: list[int] = []
        for unit in range(units):
            if unit % 8 == 0:
                chances = iter(draws(self.seed, "units", key, unit))
            new, which = next(chances), next(chances)
            articles.append(
                max(articles, default=-1) + 1 if not articles or new < NEW_GOOD else articles[int(which * unit)]
            )
        return tuple(articles)

    def _seen(self, id: str, run: Run, place: int) -> tuple[list[int], frozenset[int]]:
        """The article of every unit, and the units in the photo; a stray one is the last."""
        articles, units = list(run.articles), run.present[place]
        chance, more, which, *_ = draws(self.seed, "miscounted", id)
        if not 1 <= len(units) <= 5 or chance >= MISCOUNTED:
            return articles, frozenset(units)
        if more < 0.5:
            return [*articles, STRAY], frozenset((*units, len(articles)))
        return articles, frozenset(units) - {units[int(which * len(units))]}
