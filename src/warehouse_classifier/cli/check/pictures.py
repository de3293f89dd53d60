"""Pictures of what spoke for a count: a PNG for each photo that was counted, in a folder of their own."""

import hashlib
import os
from pathlib import Path

from warehouse_classifier.cli.check.inspection import Draw
from warehouse_classifier.cli.check.photos import Photo
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.serving.explanation import picture
from warehouse_classifier.serving.predictor import Predictor
from warehouse_classifier.serving.questions import Answer

LONGEST = 255 - len("..png.half")  # bytes of a photo's own name: the file systems of Linux and macOS end there


class Pictures:
    """A folder of pictures that show what spoke for each count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, photo: Photo) -> Path:
        """Of a photo's picture; of a name too long for one more suffix, a digest stands for the middle."""
        parent, name = os.path.split(photo.place)
        raw = os.fsencode(name)
        if len(raw) > LONGEST:
            end = f"-{hashlib.sha256(raw).hexdigest()[:16]}{Path(name).suffix[:8]}"
            name = raw[: LONGEST - len(os.fsencode(end))].decode(errors="ignore") + end
        return self.folder / parent / f"{name}.png"

    def there(self, photo: Photo) -> bool:
        return self.path(photo).exists()

    def draw(self, counter: Predictor) -> Draw:
        """Puts the picture of a photo into the folder."""

        def draw(photo: Photo, pixels: Pixels, answer: Answer, expected: int | None) -> None:
            with replacing(self.path(photo)) as half:
                half.write_bytes(picture(counter, pixels, answer, expected))

        return draw
