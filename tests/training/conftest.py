"""Small trainings, on one thread."""

from pathlib import Path

import pytest
import torch

from support.images import pack


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny images that nobody changes."""
    return pack(tmp_path_factory.mktemp("training") / "images")
