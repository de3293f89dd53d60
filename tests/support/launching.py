"""Stages started as dvc.yaml starts them."""

import pytest

from warehouse_classifier.compute.__main__ import launch

PARAMS = """\
scale: small
lr: null
seed: 7
data:
  small: {bucket: bins, quantities: [1, 2, 3], side: 32, quality: 90}
  other: {bucket: bins, quantities: [1, 2, 3], side: 32, quality: 90}
fetch_metadata:
  small: {max_pairs: null, max_rejected: 20, concurrency: 4, part: 10}
  other: {max_pairs: null, max_rejected: 20, concurrency: 4, part: 10}
select_images:
  small: {max_images: null, test_images: 6, validation_share: 0.2, split: grouped, outside_images: 0}
resize_images:
  small: {max_pixels: 1000000, max_rejected: 2, concurrency: 4, workers: 2}
"""


def error_line(capfd: pytest.CaptureFixture[str], stage: str, *argv: str) -> str:
    """What `launch` says of a stage that cannot go on: a failure, and one line of error that is the last one."""
    capfd.readouterr()
    assert launch(stage, list(argv)) == 1
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert "Traceback" not in out + err
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1].removeprefix("error: ")
