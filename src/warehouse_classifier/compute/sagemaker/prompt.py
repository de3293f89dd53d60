"""What whoever waits for a job is asked and told: whether it is to be stopped, left or followed, and what becomes of it."""

import sys
import time

from warehouse_classifier.compute.sagemaker.follow import Follower
from warehouse_classifier.compute.sagemaker.status_line import StatusLine, say


def ask(follower: Follower) -> str:
    """Returns stop, leave or follow: what is to become of a job that nobody wants to wait for."""
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


def say_it_goes_on(name: str) -> None:
    """That nobody waits for the job any more, and how to stop it."""
    say(f"{name} goes on at SageMaker, and so does its price; the same command attaches to it again")
    say(f"to stop it: python -m warehouse_classifier.compute.sagemaker.stop {name}")
