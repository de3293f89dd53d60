"""What whoever waits for a job is asked and told: whether it is to be stopped, left or followed, and what becomes of it."""

import sys
import time

from warehouse_classifier.compute.sagemaker.follow import Follower
from warehouse_classifier.compute.sagemaker.status_line import StatusLine


def ask(follower: Follower) -> str:
    """What is to become of a job that nobody wants to wait for: stop, leave or follow."""
    state = follower.state
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or (state and state.ended):
        return "leave"
    cost = f", {StatusLine(follower.name, follower.jobs.settings).cost(state, time.time())}" if state else ""
    say(f"{follower.name} is at work on SageMaker{cost}")
    while True:
        print("[s]top it, [l]eave it running, or [f]ollow on? ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        for choice in ("stop", "leave", "follow"):
            if answer.strip().lower() in (choice, choice[0]):
                return choice
        if not answer:  # the terminal is gone
            return "leave"


def tell(name: str) -> None:
    """That a job goes on without anybody who waits for it, and how it is stopped."""
    say(f"{name} goes on at SageMaker, and so does its price; the same command attaches to it again")
    say(f"to stop it: python -m warehouse_classifier.compute.sagemaker.stop {name}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
