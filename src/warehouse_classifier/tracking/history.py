"""Runs that have ended, as MLflow has them."""

from pathlib import Path
from typing import Any

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.mlflow_run import EXPERIMENT, client_of
from warehouse_classifier.tracking.store import SQLITE, VARIABLE, address, in_one_line


def runs(stage: str, inputs: str) -> list[Any]:
    """A stage's finished runs on these inputs, as MLflow's entities, the newest first. Raises UserError if there is no store."""
    uri = address()
    database = uri.removeprefix(SQLITE)
    if uri != database and not Path(database).is_file():
        raise UserError(
            f"there is no {database}, where MLflow keeps runs; `dvc repro` makes it, or {VARIABLE} names another"
        )
    wanted = f"tags.stage = '{stage}' and tags.inputs = '{inputs}' and attributes.status = 'FINISHED'"
    with in_one_line("read"):
        client = client_of(uri)
        ids = [one.experiment_id for one in client.search_experiments(filter_string=f"name = '{EXPERIMENT}'")]
        return list(client.search_runs(ids, wanted, order_by=["start_time DESC"])) if ids else []
