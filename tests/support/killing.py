"""Stages in processes of their own, to be killed."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from support.launching import act
from support.server import Served
from warehouse_classifier.compute.stage_code import params_of
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import NullProgress
from warehouse_classifier.work.resume import resumable


class Elsewhere:
    """Stages in processes of their own, to be killed: forked from one that has imported everything already."""

    def __init__(self) -> None:
        self.forks = multiprocessing.get_context("forkserver")
        stages = ["fetch_metadata", "resize_images"]
        self.forks.set_forkserver_preload(["torch", *(f"warehouse_classifier.stages.{stage}" for stage in stages)])

    @contextmanager
    def running(self, stage: str, params: dict[str, Any], *paths: Path) -> Iterator[BaseProcess]:
        process = self.forks.Process(target=_act, args=(dict(os.environ), Path.cwd(), stage, params, paths))
        process.start()
        yield process
        process.kill()
        process.join()

    def until_killed(self, served: Served, gets: int, stage: str, params: dict[str, Any], *paths: Path) -> bool:
        """Kill a stage some moment after the server has answered so many; tells whether it was still at work."""
        with self.running(stage, params, *paths) as process:
            while process.is_alive() and served.record().requests["get", 200] < gets:
                time.sleep(0.001)
            time.sleep(random.Random(gets).random() / 50)
        return process.exitcode == -signal.SIGKILL


def _act(
    environment: dict[str, str], folder: Path, stage: str, params: dict[str, Any], paths: tuple[Path, ...]
) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    act(stage, params_of(stage)(**params), *paths, progress=NullProgress())


def contend(barrier: Barrier, shared: Path) -> None:
    for number in range(40):
        barrier.wait(30)
        try:
            with resumable("fetch", number % 2) as folder:
                (folder / "alone").open("x").close()
                (folder / "alone").unlink()
        except UserError:
            pass
        except BaseException as error:
            (shared / "trouble").write_text(repr(error))
            raise
