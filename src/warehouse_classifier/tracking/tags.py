"""The tags of a run: the commit it was made from, and the machine."""

import os
import platform
import subprocess

from warehouse_classifier.runtime.files import root

COMMIT = ("git_commit", "git_changed", "dvc_exp_name")  # the tags of a run that its models have too


def commit() -> dict[str, str]:
    """The tags COMMIT; empty where there is no git, or no experiment of DVC."""
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower(),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
    }


def here() -> dict[str, str]:
    """Where this process runs, as tags."""
    return {
        "runner": "local",
        "host": platform.node(),
        "machine": platform.machine(),
        "processors": str(os.cpu_count()),
    }


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=root(), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
