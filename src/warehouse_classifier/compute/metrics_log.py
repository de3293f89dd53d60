"""How the figures of a stage leave a rented machine: as lines of its log, which whoever follows it passes on to MLflow."""

import json
import os
import platform
import sys
from typing import Any

VARIABLE = "FIGURES"  # set to "log" inside a job, where MLflow is out of reach
MARK = "figures "  # begins such a line


class MetricsLog:
    """A MetricsSink that is written to the log."""

    def __init__(self) -> None:
        self._say({"host": platform.node(), "machine": platform.machine(), "processors": str(os.cpu_count())})

    def measure(self, step: int | None, values: dict[str, float]) -> None:
        self._say({"step": step, "values": {name: float(value) for name, value in values.items()}})

    def end(self, status: str) -> None:
        self._say({"ended": status})

    def _say(self, what: dict[str, Any]) -> None:
        sys.stdout.write(f"{MARK}{json.dumps(what)}\n")  # as one piece: stderr goes to the same log
        sys.stdout.flush()


def wanted() -> bool:
    """Whether figures go to the log, as in a job."""
    return os.environ.get(VARIABLE) == "log"


def read(line: str) -> dict[str, Any] | None:
    """What a line of the log reports, or None."""
    if not line.startswith(MARK):
        return None
    try:
        report = json.loads(line.removeprefix(MARK))
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def pattern(name: str) -> str:
    """What finds a figure's value in the log, for CloudWatch."""
    return f'"{name}": ([-+0-9.eE]+)'
