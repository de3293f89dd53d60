"""What the tests of SageMaker share."""

import shutil
from pathlib import Path

import pytest

from support.cloud import REMOTE, Account
from support.projects import TOP

# of a stage that was run, so that those after it can be asked for
LOCK = "schema: '2.0'\nstages: {resize_images: {cmd: x, outs: [{path: data/images, hash: md5, md5: 0123.dir}]}}\n"


@pytest.fixture
def tree(tmp_path: Path, account: Account, aws: pytest.MonkeyPatch) -> Path:
    """A working tree that could start a job; the test is in it."""
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(TOP / name, tmp_path)
    shutil.copytree(TOP / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("synthetic://?pairs=5000&", "synthetic://?pairs=100&", 1))
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(REMOTE)
    for name, value in account.environment.items():
        aws.setenv(name, value)
    aws.setenv("DVC_ROOT", str(tmp_path))
    aws.setenv("HOME", str(tmp_path))
    aws.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws.chdir(tmp_path)
    return tmp_path
