"""MLflow: curves and results of a stage's run, and when, where and from what it ran.

DVC owns files, MLflow owns curves. Nothing here changes a result.
"""

import json
import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from warehouse_classifier.runtime.files import root
from warehouse_classifier.tracking.store import SQLITE, address, in_one_line, make, named_everywhere
from warehouse_classifier.tracking.tags import COMMIT, commit, here

EXPERIMENT = "warehouse-classifier"
ARTIFACTS = "mlartifacts"  # the folder of models, beside the database
SOURCE = "models:/"  # before the id of a logged model, in the source of a registered version
CONTENT = "content"  # the tag of a registered version that holds the hash of its content


class MlflowRun:
    """One stage's run, named as the stage. It is begun by its first figure: a stage that fails before has no run.

    Every method raises UserError if the store cannot be written to.
    """

    def __init__(
        self,
        stage: str,
        params: dict[str, Any],
        inputs: str,
        tags: dict[str, str] | None = None,
        uri: str | None = None,
    ) -> None:
        """`params`: dotted names and plain values. `inputs`: a hash over the stage's dependencies.

        `tags`: of a stage that runs elsewhere; its `job` is one run, whoever begins it. `uri`: of another store.
        """
        self.stage, self.params, self.inputs, self.tags, self.uri = stage, params, inputs, tags, uri
        self.begun = time.time()
        self._client: Any = None
        self._run_id = ""
        self._logged: set[tuple[str, int]] = set()  # names and steps, by an earlier follower of the job too

    def measure(self, step: int | None, values: dict[str, float], at: float | None = None) -> None:
        """Log figures. `step`: the epoch, if any; `at`: when, in seconds since 1970."""
        with in_one_line():
            self._open()
            for name, value in values.items():
                if self.tags is None or (name, step or 0) not in self._logged:
                    when = int((at or time.time()) * 1000)
                    self._client.log_metric(self._run_id, name, float(value), timestamp=when, step=step or 0)
                    self._logged.add((name, step or 0))

    def set_tags(self, **tags: str) -> None:
        """Those that are known later than the first figure."""
        with in_one_line():
            self._open()
            for name, value in tags.items():
                self._client.set_tag(self._run_id, name, value)

    def end(self, status: str, **results: float) -> None:
        """`status`: FINISHED, FAILED or KILLED. `results`: last figures; without any, the seconds that the stage took."""
        if self._client is not None:
            self.measure(None, results or {"seconds": time.time() - self.begun})
            with in_one_line():
                self._client.set_terminated(self._run_id, status)

    def register(self, name: str, content: str, tags: dict[str, str], model: dict[str, Any]) -> tuple[str, str]:
        """Keep a model as the next version under a name, and as what this run has made; the version, and where a new one is.

        `content`: a hash over all that it is made of; a version that has the same is taken, and nothing is written.
        `model`: the arguments of mlflow.pyfunc.save_model.
        """
        with in_one_line():
            self._open()
            from mlflow.entities import LoggedModelOutput

            versions = self._client.search_model_versions(f"name = '{name}' and tags.`{CONTENT}` = '{content}'")
            version = versions[0] if versions else self._new_version(name, {**tags, CONTENT: content}, model)
            id = version.source.removeprefix(SOURCE)
            self._client.log_outputs(self._run_id, [LoggedModelOutput(id, 0)])
            return str(version.version), "" if versions else self._client.get_logged_model(id).artifact_location

    def _new_version(self, name: str, tags: dict[str, str], model: dict[str, Any]) -> Any:
        """All of it is in the store before it has a number."""
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model
        from mlflow.pyfunc import save_model
        from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

        run = self._client.get_run(self._run_id)
        tags |= {tag: run.data.tags[tag] for tag in COMMIT if run.data.tags.get(tag)}
        logged = self._client.create_logged_model(run.info.experiment_id, name, self._run_id, tags)
        try:
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder, "model")
                entry = Model(run_id=self._run_id, model_uuid=logged.model_id, model_id=logged.model_id)
                save_model(whole, mlflow_model=entry, **model)
                self._client.log_model_artifacts(logged.model_id, str(whole))
        except BaseException:
            self._client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(logged.model_id, "READY")
        with suppress(MlflowException):  # the name exists; any other fault meets its version too
            self._client.create_registered_model(name)
        with named_everywhere(self._client.tracking_uri):
            version = self._client.create_model_version(
                name, f"{SOURCE}{logged.model_id}", self._run_id, tags, model_id=logged.model_id
            )
        self._client.set_logged_model_tags(  # by which the run's page leads to the version
            logged.model_id, {MLFLOW_MODEL_VERSIONS: json.dumps([{"name": name, "version": version.version}])}
        )
        return version

    def _open(self) -> None:
        if self._client is not None:
            return
        uri = self.uri or address()
        database = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else root() / "mlflow.db"
        if uri.startswith(SQLITE):
            make(database, client_of)
        self._client = client_of(uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        place = None if uri.startswith("http") else str(database.resolve().parent / ARTIFACTS)  # a server knows its own
        id = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT, place)
        if self._earlier(id):
            return
        tags = {"stage": self.stage, **commit(), "inputs": self.inputs, **(self.tags or here())}
        run = self._client.create_run(id, start_time=int(self.begun * 1000), run_name=self.stage, tags=tags)
        self._run_id = run.info.run_id
        for name, value in self.params.items():
            self._client.log_param(self._run_id, name, value)

    def _earlier(self, experiment: str) -> bool:
        """Go on with the run that an earlier follower of the same job has begun, if there is one."""
        if not self.tags:
            return False
        runs = self._client.search_runs([experiment], f"tags.job = '{self.tags['job']}'")
        if runs:
            self._run_id = runs[0].info.run_id
            if runs[0].info.status != "FINISHED":
                self._client.update_run(self._run_id, status="RUNNING")
            for name in runs[0].data.metrics:
                history = self._client.get_metric_history(self._run_id, name)
                self._logged |= {(name, metric.step) for metric in history}
        return bool(runs)


def client_of(uri: str) -> Any:
    """MLflow's client of a store, which neither phones home nor chatters. Importing MLflow takes seconds: only here."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic"):  # the store says at length how it is made
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)
