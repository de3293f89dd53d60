"""Run a stage in several processes of this machine that train one network together."""

import ctypes
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from warehouse_classifier.compute.machine_errors import PeerLost
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.training.distributed import MEETING, rank

LAUNCHER = "TEAM_LAUNCHER"  # its process id
DIGEST = "TEAM_DIGEST"
PEER_SPEAKS = 5  # seconds that another process has to say what is wrong
GRACE = 100  # seconds to save what is done, of the 120 that a rented machine gives
PR_SET_PDEATHSIG = 1  # prctl(2)


def together(stage: str, argv: list[str], processes: int, threads: int, digest: str) -> None:
    """`digest`: of what the stage is made of, which each process has to find as well.

    Raises UserError if one of the processes is killed, and SystemExit with its status where it has said why it failed."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, start_processes

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    everyone = range(processes)
    words = ("-m", "warehouse_classifier.compute", stage, *argv)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, MEETING: Path(folder, "meeting"),
            LAUNCHER: os.getpid(), DIGEST: digest, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
            "TORCH_CPP_LOG_LEVEL": "ERROR",  # it warns of what training/step.py asks for
            "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo",  # they are all here
        }  # fmt: skip
        context = start_processes(
            stage, sys.executable, dict.fromkeys(everyone, words),
            {n: {name: str(value) for name, value in {**environment, "RANK": n, "LOCAL_RANK": n}.items()} for n in everyone},
            DefaultLogsSpecs(log_dir=folder),
        )  # fmt: skip
        try:
            try:
                ended = context.wait()
            finally:
                context.close(timeout=GRACE)
        except SignalException:
            raise KeyboardInterrupt from None
    if ended is None or not ended.failures:
        return
    # what was ended because another one had failed is no reason
    statuses = {number: failure.exitcode for number, failure in ended.failures.items()}
    status, number = min((status == -signal.SIGTERM, status, number) for number, status in statuses.items())[1:]
    if status > 0:
        raise SystemExit(status)
    raise UserError(
        f"{stage}: process {number} of {processes} was ended by {signal.Signals(-status).name}, as a machine does that"
        " is out of memory; `dvc repro` goes on from the last checkpoint"
    )


def speaks(error: UserError) -> bool:
    """Whether it is for this process of a team to say what is wrong: one line is enough for all of them.

    Whoever started them ends the others when one has failed; to be ended meanwhile is not to speak.
    """
    if rank() and isinstance(error, PeerLost):
        return False
    if rank() or isinstance(error, PeerLost):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(PEER_SPEAKS)
    return True


def refuse_other(stage: str, digest: str) -> None:
    """Raises UserError if what the stage is made of is no more what it was as its processes were started."""
    if os.environ.get(DIGEST, digest) != digest:
        raise UserError(
            f"{stage}: what it is made of was edited as its processes were started; `dvc repro` starts them again"
        )


def end_with_launcher() -> None:
    """Have a SIGTERM sent to this process when the one that started it is gone, killed or not."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(LAUNCHER, str(os.getppid())) != str(os.getppid()):  # it was faster
        raise KeyboardInterrupt
