"""MLflow's store: where it is, how its database is made, and its errors in one line."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root

VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"


def address() -> str:
    """The store's URI: the environment's, else a database in the project."""
    return os.environ.get(VARIABLE) or f"{SQLITE}{root()}/mlflow.db"


@contextmanager
def in_one_line(act: str = "written to") -> Iterator[None]:
    """Raises UserError in place of any error of MLflow's. `act`: what was to be done to the store."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"MLflow's store cannot be {act}; check {VARIABLE} ({reason})") from error


@contextmanager
def named_everywhere(uri: str) -> Iterator[None]:
    """MLflow's database looks for the model of a version in the store that the environment names, whatever the client's is."""
    before = {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
    os.environ[VARIABLE] = uri
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        os.environ.update(before)


def make(database: Path, client: Callable[[str], Any]) -> None:
    """The database, unless it is there. MLflow cannot go on from half of its tables: a file gets its name when all are made.

    `client`: MLflow's, by URI.
    """
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{database.name}.", dir=database.parent) as beside:
        whole = Path(beside, database.name)
        client(f"{SQLITE}{whole.resolve()}").search_experiments(max_results=1)
        try:
            os.link(whole, database)
        except FileExistsError:
            pass  # another run was faster
        except OSError:  # a file system without links
            whole.rename(database)
