"""What a drawn photo shows follows from the item's three sides, and what a visit changes is little."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from warehouse_classifier.synthetic import rendering
from warehouse_classifier.synthetic.bins import SyntheticBins
from warehouse_classifier.synthetic.cell import SCALE, Cell
from warehouse_classifier.synthetic.items import Item, invent
from warehouse_classifier.synthetic.mark import MARK, is_drawn
from warehouse_classifier.synthetic.placement import Placement, after_visit, move, seen_from, settle, stow
from warehouse_classifier.synthetic.rendering import _put, draw_bin
from warehouse_classifier.synthetic.sizes import DEPTH, CellSize, room

SIZE = CellSize(16.0, 12.0)
CELL = Cell(320, 240, 12.0, 216.0, (160.0, 93.6))


def item(kind: str = "carton", sides: tuple[float, float, float] = (2.0, 3.0, 5.0)) -> Item:
    return invent("an", "item", volume=50.0, room=room(SIZE))._replace(
        kind=kind, height=sides[0], width=sides[1], length=sides[2]
    )


@pytest.mark.parametrize("kind", ["carton", "book", "bag", "tube"])
def test_a_unit_shows_two_of_its_sides_and_reaches_back_by_the_third(kind: str) -> None:
    good = item(kind)
    seen = set()
    for seed in range(40):
        (place,) = stow(CELL, [good], np.random.default_rng(seed))
        scale = SCALE * Cell.far(place.depth)
        across, up = place.width / scale, place.height / scale
        back = (place.back - place.depth) * DEPTH
        assert sorted((across, up, back)) == pytest.approx([2, 3, 5])
        seen.add(round(back))
    assert len(seen) > 1, "it does not always stand in the same way"


def test_no_unit_stands_where_it_does_not_fit() -> None:
    good = item("carton", (4.0, 9.0, 14.0))
    for seed in range(40):
        (place,) = stow(CELL, [good], np.random.default_rng(seed))
        assert place.width <= CELL.width
        assert place.height <= CELL.bottom - CELL.top
        assert place.back <= 1


def test_a_thicker_box_shows_more_of_its_side() -> None:
    thin, thick = (Placement(20, 200, 60, 100, 0.0, 0.0, back) for back in (0.1, 0.9))
    assert _pixels(thick) > 1.02 * _pixels(thin)


def _pixels(place: Placement) -> int:
    """How many pixels a carton there covers."""
    image = Image.new("RGB", (CELL.width, CELL.height), (255, 0, 255))
    _put(ImageDraw.Draw(image, "RGBA"), CELL, item(), place, [0.5, 0.5, 0.5])
    return int((np.asarray(image) != (255, 0, 255)).any(axis=2).sum())


def test_what_rested_on_a_unit_comes_down() -> None:
    below, above, top = (
        Placement(20, base, 100, 50, 0.0, 0.5, 0.6, under) for base, under in ((200, None), (150, 0), (100, 1))
    )
    assert [place.base for place in settle([below, above, top], frozenset())] == [200, 150, 100]
    assert [place.base for place in settle([below, above, top], {0})] == [200, 200, 150]
    assert [place.base for place in settle([below, above, top], {0, 1})] == [200, 200, 200]


@pytest.mark.parametrize(("shown", "moved"), [({1, 2}, set()), ({0, 1, 2}, {0})])
def test_what_rested_on_who_is_gone_or_moved_comes_down(shown: set[int], moved: set[int]) -> None:
    goods = [item(sides=(2.0, 2.5, 3.0)) for _ in range(3)]
    places = [Placement(20, base, 50, 40, 0.0, 0.5, 0.6, under) for base, under in ((200, None), (160, 0), (200, None))]
    after = after_visit(CELL, goods, places, shown, moved, np.random.default_rng(1))
    assert [place.base for place in after[1:]] == [200, 200]


def test_who_is_moved_stands_elsewhere_and_nobody_else_does() -> None:
    goods = [item(sides=(2.0, 2.5, 3.0 + unit)) for unit in range(4)]
    places = stow(CELL, goods, np.random.default_rng(1))
    after = move(CELL, goods, places, {2}, np.random.default_rng(2))
    assert [one == other for one, other in zip(places, after, strict=True)] == [True, True, False, True]
    assert after[2].under is None


@pytest.mark.parametrize("change", ["MOVED", "ASIDE", "SHAKE"])
def test_each_change_of_a_visit_is_seen_in_the_photo(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    goods = [item(sides=(2.0, 2.5, 3.0 + unit)) for unit in range(4)]
    photo = draw_bin("bin", "photo", SIZE, goods, frozenset(range(4)))
    monkeypatch.setattr(rendering, change, {"MOVED": 1.0, "ASIDE": 0.0, "SHAKE": 0}[change])
    assert draw_bin("bin", "photo", SIZE, goods, frozenset(range(4))) != photo


def test_what_is_farther_back_shifts_more_when_the_camera_moves() -> None:
    aside = Cell(320, 240, 12.0, 216.0, (200.0, 93.6))
    front, back = seen_from([Placement(20, 200, 9, 9, 0.0, depth, 1.0) for depth in (0.0, 0.9)], CELL, aside)
    assert front.x == 20
    assert 24 < back.x < 28
    assert back.x - 20 == pytest.approx(aside.toward(0, 0, 0.9)[0] - CELL.toward(0, 0, 0.9)[0])


def test_a_drawing_bears_a_mark_until_it_is_saved_again() -> None:
    body = SyntheticBins(40, 7).photo("00011")
    assert is_drawn(body)
    again = io.BytesIO()
    Image.fromarray(np.asarray(Image.open(io.BytesIO(body)))).save(again, "JPEG")
    assert not is_drawn(again.getvalue())
    assert not is_drawn(b"")
    assert not is_drawn(again.getvalue() + MARK)  # behind the picture it is no comment
