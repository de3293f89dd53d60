"""The launcher: `python -m warehouse_classifier.compute <stage> <scale> <paths>`, the command of every stage in dvc.yaml.

STAGE_RUNNER in the environment says where the stage runs; it is no parameter, so command, deps and params in dvc.lock are
the same wherever that is.
"""

import os
import sys

from warehouse_classifier.compute import local, processes
from warehouse_classifier.fault import Fault
from warehouse_classifier.team import size

PLACES = {"local": local.run}


def launch(stage: str, argv: list[str]) -> int:
    """Run a stage where it belongs; returns the exit status. What is wrong is said in one line on stderr."""
    try:
        place = os.environ.get("STAGE_RUNNER") or "local"
        if place not in PLACES:
            raise Fault(f"STAGE_RUNNER is {place}, it must be one of: {', '.join(PLACES)}; unset it to run here")
        PLACES[place](stage, argv)
    except Fault as fault:
        if processes.speaks(fault):
            print(f"error: {' '.join(str(fault).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if size() == 1:  # else whoever started the processes says it
            print(f"error: {stage} was interrupted; `dvc repro` goes on from what is done", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m warehouse_classifier.compute <stage> <scale> <paths>, as in dvc.yaml")
    status = launch(sys.argv[1], sys.argv[2:])
    if status:  # all is said and put in order; threads that wait for a bucket's answer would only hold up the end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
