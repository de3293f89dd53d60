"""The launcher: `python -m warehouse_classifier.compute <stage> <scale> <paths>`, the command of every stage in dvc.yaml.

STAGE_RUNNER in the environment says where the stage runs; it is no parameter, so command, deps and params in dvc.lock are
the same wherever that is.
"""

import os
import sys

from warehouse_classifier.compute import local, processes, stage_code
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import ignore_signals, say_error
from warehouse_classifier.training.distributed import size

VARIABLE = "STAGE_RUNNER"
PLACES = ("local", "sagemaker")


def launch(stage: str, argv: list[str]) -> int:
    """Run a stage where it belongs; returns the exit status. What is wrong is said in one line on stderr."""
    try:
        stages = stage_code.names()
        if stage not in stages:
            raise UserError(f"there is no stage {stage}; there are: {', '.join(stages)}")
        if place_of(stage, os.environ.get(VARIABLE, ""), stages) == "sagemaker":
            from warehouse_classifier.compute.sagemaker import run  # with boto3, which no local run waits for

            run.run(stage, argv)
        else:
            local.run(stage, argv)
    except UserError as error:
        if processes.speaks(error):
            say_error(error)
        return 1
    except KeyboardInterrupt:
        ignore_signals()
        if size() == 1:  # else whoever started the processes says it
            say_error(f"{stage} was interrupted; `dvc repro` goes on from what is done")
        return 130
    return 0


def place_of(stage: str, runner: str, stages: list[str]) -> str:
    """`runner`: a place for all stages, or for those that it names: `train_vit:sagemaker,train_resnet34:sagemaker`.

    Raises UserError for a place or a stage that is none.
    """
    places = {"": "local"}
    for words in filter(None, (words.strip() for words in runner.split(","))):
        name, _, place = words.rpartition(":")
        if place not in PLACES:
            raise UserError(f"{VARIABLE} is {runner}, it must be one of: {', '.join(PLACES)}; unset it to run here")
        if name and name not in stages:
            raise UserError(f"{VARIABLE} is {runner}, and there is no stage {name}; there are: {', '.join(stages)}")
        places[name] = place
    return places.get(stage, places[""])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m warehouse_classifier.compute <stage> <scale> <paths>, as in dvc.yaml")
    status = launch(sys.argv[1], sys.argv[2:])
    if status:  # all is said and put in order; threads that wait for a bucket's answer would only hold up the end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
