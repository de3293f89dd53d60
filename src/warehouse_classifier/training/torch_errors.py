"""What torch raises where a machine cannot do what a recipe asks for, in one line that names the parameter."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.distributed import DistError

from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.training.distributed import Alone
from warehouse_classifier.training.recipe import Recipe

MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")
PEERS = ("closed by peer", "reset by peer", "Broken pipe", "NCCL", "gloo", "rendezvous", "timed out", "wait timeout")


@contextmanager
def explained(stage: str, recipe: Recipe) -> Iterator[None]:
    """Raises Fault instead, and Alone where another process of the same training has ended."""
    where = f"params.yaml: {stage}'s"
    try:
        yield
    except MemoryError:
        raise _too_large(where, recipe) from None
    except RuntimeError as error:  # of which torch's own errors are kinds
        said = " ".join(str(error).split())
        if isinstance(error, torch.OutOfMemoryError) or any(words in said for words in MEMORY):
            raise _too_large(where, recipe) from None
        if recipe.compile and _of_the_compiler(error):
            raise Fault(
                f"{where} compile is true, which fails on this machine ({said[:200]}); set it to false"
            ) from None
        if "deterministic" in said:
            raise Fault(
                f"{where} deterministic is true, which it cannot be here ({said[:200]}); set it to false"
            ) from None
        if recipe.processes > 1 and (isinstance(error, DistError) or any(words in said for words in PEERS)):
            raise Alone(
                f"{stage}: another of its {recipe.processes} processes ended ({said[:200]}); `dvc repro` goes on"
            ) from None
        raise


def _of_the_compiler(error: RuntimeError) -> bool:
    from torch._dynamo.exc import TorchDynamoException  # which take a second to import
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    return isinstance(error, TorchDynamoException | InductorError | InvalidCxxCompiler)


def _too_large(where: str, recipe: Recipe) -> Fault:
    return Fault(
        f"{where} micro_batch of {recipe.micro_batch} images does not fit the memory; lower micro_batch to a smaller"
        f" divisor of the batch of {recipe.batch}"
    )
