"""What a machine that cannot do what it was asked for raises, in one line that names the parameter and the way out.

The one place for memory, full disks, torch's errors and lost processes. Stages raise what their libraries raise, so a word
that is changed here reruns none of them.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from warehouse_classifier.runtime.errors import UserError

# safetensors, torch and others have errors of their own for these, and only their words tell
MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")
DISK = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))
PEERS = ("closed by peer", "reset by peer", "Broken pipe", "NCCL", "gloo", "rendezvous", "timed out", "wait timeout")
SHOWN = 200  # characters of what a library says


class PeerLost(UserError):
    """Another process of the same training has ended; it, or who started it, says why."""


@contextmanager
def explained(stage: str, params: Any) -> Iterator[None]:
    """Raises UserError in place of what the machine raised, PeerLost where another process has ended, and all else as it is.

    `params`: the stage's, to name the one that helps.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        explanation = in_words(error, stage, params)
        if explanation is None:
            raise
        raise explanation from (error if isinstance(error, OSError) else None)


def in_words(error: Exception, stage: str, params: Any) -> UserError | None:
    """What to tell of an error; None for one that is not the machine's."""
    message = " ".join(str(error).split())
    if is_memory(error):
        return _too_much(stage, params)
    if is_full_disk(error):
        return UserError(f"{stage}: the disk is full; free some space, `dvc repro` goes on from what is done")
    if "can't start new thread" in message:
        return UserError(f"{stage} cannot start as many threads as its workers and threads say; lower them")
    if isinstance(error, RuntimeError):  # of which torch's own errors are kinds
        return _of_torch(error, message[:SHOWN], stage, params)
    if isinstance(error, OSError):
        return UserError(f"{stage}: {error}")
    return None


def is_memory(error: Exception) -> bool:
    """Whether there was too little memory, of the processor or of a GPU."""
    if isinstance(error, RuntimeError):
        message = str(error)
        return any(words in message for words in MEMORY) or ("memory" in message and "alloc" in message)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def is_full_disk(error: Exception) -> bool:
    """Whether a disk is full, or somebody's share of it."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or any(words in str(error) for words in DISK)


def _of_torch(error: RuntimeError, message: str, stage: str, params: Any) -> UserError | None:
    where = f"params.yaml: {stage}'s"
    if getattr(params, "compile", False) and _of_the_compiler(error):
        return UserError(f"{where} compile is true, which fails on this machine ({message}); set it to false")
    if getattr(params, "deterministic", False) and "deterministic" in message:
        return UserError(f"{where} deterministic is true, which it cannot be here ({message}); set it to false")
    processes = getattr(params, "processes", 1)
    if processes > 1 and (_of_peers(error) or any(words in message for words in PEERS)):
        return PeerLost(f"{stage}: another of its {processes} processes ended ({message}); `dvc repro` goes on")
    return None


def _of_the_compiler(error: RuntimeError) -> bool:
    from torch._dynamo.exc import TorchDynamoException  # which take a second to import
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    return isinstance(error, TorchDynamoException | InductorError | InvalidCxxCompiler)


def _of_peers(error: RuntimeError) -> bool:
    distributed = sys.modules.get("torch.distributed")  # no stage without it has peers
    return distributed is not None and isinstance(error, distributed.DistError)


def _too_much(stage: str, params: Any) -> UserError:
    micro_batch = getattr(params, "micro_batch", None)
    if micro_batch is None:
        return UserError(f"{stage} needs more memory than there is; lower its batch, workers or concurrency")
    return UserError(
        f"params.yaml: {stage}'s micro_batch of {micro_batch} images does not fit the memory; lower micro_batch to a smaller"
        f" divisor of the batch of {params.batch}"
    )
