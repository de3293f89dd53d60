"""What a machine may lack, and disks that are full."""

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """Skip a test that this machine cannot do, or fail it where it should."""
    if os.environ.get("REQUIRE_SYSTEM_PACKAGES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class SmallDisk:
    """A file system of its own at the folder where the test runs, as large as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        how = "" if not self.folder.is_mount() else "remount,"
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={kilobytes}k", "none", str(self.folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            # a right of whoever runs the tests, and no package that could be asked for: said with -ra, not failed
            pytest.skip(f"a full disk takes the right to mount one ({done.stderr.strip()})")
