"""The S3 server of the tests, which misbehaves as it is told, for benchmarks and the soak."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.server import Drawn, Faults, Kind, Misdeed, Request, Served, Store, plan, serving

__all__ = ["Drawn", "Faults", "Kind", "Misdeed", "Request", "Served", "Store", "plan", "serving"]
