"""How an item stands in a cell: which of its three sides goes across, which up and which back."""

from warehouse_classifier.synthetic.cell import SCALE, Cell
from warehouse_classifier.synthetic.items import Item

HEIGHT, WIDTH, LENGTH = range(3)
POSES = {  # which side goes across, which up and which back; the commoner ones stand twice
    "carton": (
        *((WIDTH, LENGTH, HEIGHT), (LENGTH, WIDTH, HEIGHT), (HEIGHT, LENGTH, WIDTH)),
        *((LENGTH, HEIGHT, WIDTH), (WIDTH, HEIGHT, LENGTH), (HEIGHT, WIDTH, LENGTH)),
    ),
    "book": (
        *((HEIGHT, LENGTH, WIDTH), (HEIGHT, LENGTH, WIDTH), (LENGTH, HEIGHT, WIDTH)),
        *((WIDTH, HEIGHT, LENGTH), (WIDTH, LENGTH, HEIGHT)),
    ),
    "bag": (
        *((WIDTH, LENGTH, HEIGHT), (LENGTH, WIDTH, HEIGHT)),
        *((LENGTH, HEIGHT, WIDTH), (WIDTH, HEIGHT, LENGTH)),
    ),
    "tube": ((WIDTH, LENGTH, HEIGHT), (WIDTH, LENGTH, HEIGHT), (LENGTH, HEIGHT, WIDTH), (WIDTH, HEIGHT, LENGTH)),
}


def pose_of(cell: Cell, good: Item, chance: float) -> tuple[float, float, float]:
    """Inches across, up and back of the way it stands, one that fits into the opening; else of one that does not."""
    sides = good.height, good.width, good.length
    poses = POSES[good.kind]
    first = int(chance * len(poses))
    turned = [(sides[a], sides[b], sides[c]) for a, b, c in (*poses[first:], *poses[:first])]
    room = 0.96 * cell.width / SCALE, (cell.bottom - cell.top) / SCALE
    return next((pose for pose in turned if pose[0] <= room[0] and pose[1] <= room[1]), turned[0])
