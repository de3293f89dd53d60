"""MLflow: curves and results of a stage's run, and when, where and from what it ran.

DVC owns files, MLflow owns curves. Nothing here changes a result.
"""

import logging
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warehouse_classifier.fault import Fault
from warehouse_classifier.files import root

EXPERIMENT = "warehouse-classifier"
SQLITE = "sqlite:///"


class Run:
    """One stage's run, named as the stage. It is begun by its first figure: a stage that fails before has no run."""

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
        self._known: set[tuple[str, int]] = set()  # figures that an earlier follower of the job has passed on

    def measure(self, step: int | None, values: dict[str, float], at: float | None = None) -> None:
        """`at`: when, in seconds since 1970. Raises Fault if the store cannot be written to."""
        with self._said():
            self._open()
            for name, value in values.items():
                if self.tags is None or (name, step or 0) not in self._known:
                    self._client.log_metric(
                        self._run_id, name, float(value), timestamp=int((at or time.time()) * 1000), step=step or 0
                    )
                    self._known.add((name, step or 0))

    def tell(self, **tags: str) -> None:
        """What is known later than the first figure. Raises Fault if the store cannot be written to."""
        with self._said():
            self._open()
            for name, value in tags.items():
                self._client.set_tag(self._run_id, name, value)

    def end(self, status: str, **results: float) -> None:
        """`status`: FINISHED, FAILED or KILLED. Raises Fault if the store cannot be written to."""
        if self._client is not None:
            self.measure(None, results or {"seconds": time.time() - self.begun})
            with self._said():
                self._client.set_terminated(self._run_id, status)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What MLflow has to say of a store that does not answer, in one line."""
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise Fault(f"MLflow's store cannot be written to; check MLFLOW_TRACKING_URI ({reason})") from error

    def _open(self) -> None:
        if self._client is not None:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from mlflow import MlflowClient

        for noisy in ("mlflow", "alembic"):  # the store says at length how it is made
            logging.getLogger(noisy).setLevel(logging.WARNING)
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root()}/mlflow.db"
        if uri.startswith(SQLITE):
            _make(Path(uri.removeprefix(SQLITE)))
        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        id = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        if self._earlier(id):
            return
        tags = {
            "stage": self.stage,
            "git_commit": _git("rev-parse", "HEAD"),
            "git_changed": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower(),
            "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
            "inputs": self.inputs,
            **(self.tags or here()),
        }
        run = self._client.create_run(id, start_time=int(self.begun * 1000), run_name=self.stage, tags=tags)
        self._run_id = run.info.run_id
        for name, value in self.params.items():
            self._client.log_param(self._run_id, name, value)

    def _earlier(self, experiment: str) -> bool:
        """Go on with the run that an earlier follower of the same job has begun, if there is one."""
        if not self.tags:
            return False
        found = self._client.search_runs([experiment], f"tags.job = '{self.tags['job']}'")
        if found:
            self._run_id = found[0].info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
            for name in found[0].data.metrics:
                known = self._client.get_metric_history(self._run_id, name)
                self._known |= {(name, metric.step) for metric in known}
        return bool(found)


def here() -> dict[str, str]:
    """Where this process runs, as tags."""
    return {
        "runner": "local",
        "host": platform.node(),
        "machine": platform.machine(),
        "processors": str(os.cpu_count()),
    }


def _make(database: Path) -> None:
    """MLflow makes its tables one by one, and cannot go on from half of them: so in a file that gets its name at the end."""
    from mlflow import MlflowClient

    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{database.name}.", dir=database.parent) as beside:
        whole = Path(beside, database.name)
        MlflowClient(tracking_uri=f"{SQLITE}{whole.resolve()}").search_experiments(max_results=1)
        try:
            os.link(whole, database)
        except FileExistsError:
            pass  # another run was faster
        except OSError:  # a file system without links
            whole.rename(database)


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=root(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
