"""The DVC remote as jobs have it."""

from pathlib import Path

import pytest

from warehouse_classifier.compute.sagemaker import dvc_remote


@pytest.mark.parametrize("line", ["", "verify = false\n", "verify = true\n"])
def test_a_job_minds_what_comes_back_whatever_the_remote_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Without `verify` DVC takes a damaged object of a remote for good; test_run.py damages one for real."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(f"[core]\nremote = team\n['remote \"team\"']\nurl = s3://b/p\n{line}")
    monkeypatch.chdir(tmp_path)
    remote = dvc_remote.read(None)
    assert remote.section["verify"] is True
    assert "\nverify = True\n" in remote.config()
