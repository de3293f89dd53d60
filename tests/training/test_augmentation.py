"""Photos are changed as the recipe says, each by its own draws, and nothing that is in one is cut off."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warehouse_classifier.training.augmentation import DRAWS, augmented
from warehouse_classifier.training.recipe import Augmentation

SIDE = 48
NOTHING = Augmentation(shrink=0.0, turn=0.0, light=0.0, colour=0.0)
ALL = Augmentation(shrink=0.2, turn=5.0, light=0.3, colour=0.2)


def noise(images: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (images, 3, SIDE, SIDE), dtype=np.uint8))


def numbers(images: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((images, DRAWS), dtype=np.float32))


def only(**changed: float) -> Augmentation:
    return NOTHING.model_copy(update=changed)


def test_nothing_asked_for_is_nothing_changed() -> None:
    torch.testing.assert_close(augmented(noise(), numbers(), NOTHING), noise().float(), atol=0.02, rtol=0)


def test_each_image_goes_by_its_own_draws() -> None:
    images, drawn = noise(), numbers()
    together = augmented(images, drawn, ALL)
    for row in range(len(images)):
        torch.testing.assert_close(augmented(images[row : row + 1], drawn[row : row + 1], ALL)[0], together[row])
    assert not torch.allclose(augmented(images, numbers(seed=2), ALL), together)


@given(draws=st.lists(st.floats(0, 1), min_size=DRAWS, max_size=DRAWS), corner=st.integers(0, 3))
def test_an_item_in_a_corner_stays_whole(draws: list[float], corner: int) -> None:
    """A white block of 12 pixels in a corner covers as much as a smaller photo leaves of it, or more by what is mirrored."""
    images = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    top, left = divmod(corner, 2)
    images[
        :, :, slice(None, 12) if top == 0 else slice(-12, None), slice(None, 12) if left == 0 else slice(-12, None)
    ] = 255
    changed = augmented(images, torch.tensor([draws], dtype=torch.float32), only(shrink=0.25))
    kept = (1 - 0.25 * draws[0]) ** 2
    assert float(changed[0, 0].sum()) / 255 >= 0.97 * kept * 144


def test_what_a_smaller_photo_leaves_free_is_its_own_edge() -> None:
    grey = torch.full((50, 3, SIDE, SIDE), 100, dtype=torch.uint8)
    torch.testing.assert_close(augmented(grey, numbers(50), only(shrink=0.25, turn=5.0)), grey.float())


def test_a_photo_that_shrinks_stands_anywhere_in_the_room() -> None:
    """Where its middle lies, over many draws: to either side, and not only at one place."""
    images = torch.zeros(200, 3, SIDE, SIDE, dtype=torch.uint8)
    images[:, :, 22:26, 22:26] = 255
    changed = augmented(images, numbers(200), only(shrink=0.25))[:, 0]
    across = (changed.sum(1) * torch.arange(SIDE)).sum(1) / changed.sum((1, 2)) - (SIDE - 1) / 2
    assert -6 < across.min() < -2 < 2 < across.max() < 6


def test_a_photo_turns_either_way_and_no_further() -> None:
    """By where a spot near the edge goes: 20 pixels from the middle, 5 degrees are 1.7 pixels."""
    images = torch.zeros(200, 3, SIDE, SIDE, dtype=torch.uint8)
    images[:, :, 22:26, 42:46] = 255
    changed = augmented(images, numbers(200), only(turn=5.0))[:, 0]
    down = (changed.sum(2) * torch.arange(SIDE)).sum(1) / changed.sum((1, 2)) - (SIDE - 1) / 2
    assert -1.9 < down.min() < -1.2 < 1.2 < down.max() < 1.9


@pytest.mark.parametrize(("by", "least", "most"), [(only(light=0.3), 0.7, 1.3), (only(colour=0.2), 0.8, 1.2)])
def test_light_and_colour_keep_their_bounds(by: Augmentation, least: float, most: float) -> None:
    grey = torch.full((200, 3, 8, 8), 100, dtype=torch.uint8)
    means = augmented(grey, numbers(200), by).mean((2, 3)) / 100
    assert least - 0.01 < means.min() < least + 0.1
    assert most - 0.1 < means.max() < most + 0.01
    tinted = float((means.max(1).values - means.min(1).values).max())
    assert tinted > 0.1 if by.colour else tinted < 1e-4


def test_no_pixel_leaves_what_a_byte_holds() -> None:
    changed = augmented(noise(64), numbers(64), ALL)
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
