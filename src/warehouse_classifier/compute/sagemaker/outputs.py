"""What a finished job has left: the stage's entry for dvc.lock, and by it the outputs in the DVC remote."""

import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from warehouse_classifier.compute import stage_spec
from warehouse_classifier.compute.sagemaker import aws, dvc_remote
from warehouse_classifier.compute.sagemaker.job import Jobs
from warehouse_classifier.compute.sagemaker.request import CHECKPOINTS, RUNS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing

LockEntry = dict[str, Any]  # of one stage in dvc.lock
ARCHIVE = "output/model.tar.gz"  # what SageMaker makes of /opt/ml/model
MAX_LOCK_BYTES = 10_000_000  # a few hundred would do
MISSING = ("NoSuchKey", "404", "NoSuchBucket")


def read(jobs: Jobs, name: str) -> LockEntry | None:
    """What the job `name` has made; None if it is no longer in S3. Raises UserError for what is no entry of this stage."""
    with aws.asking(f"the outcome of {name}"):
        client = jobs.remote.client(jobs.settings.region)
        try:
            body = client.get_object(Bucket=jobs.remote.bucket, Key=jobs.remote.key(RUNS, name, ARCHIVE))["Body"].read()
        except ClientError as error:
            if aws.code_of(error) in MISSING:
                return None
            raise
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
            # by name and in memory: nothing is unpacked
            locks = [member for member in tar if member.isfile() and Path(member.name).name == stage_spec.LOCK.name]
            file = tar.extractfile(locks[0]) if locks and locks[0].size < MAX_LOCK_BYTES else None
            entry = YAML(typ="safe", pure=True).load(file.read())["stages"][jobs.spec.stage] if file else None
    except (tarfile.TarError, OSError, EOFError, YAMLError, LookupError, TypeError) as error:
        raise UserError(f"the outcome of {name} in {jobs.address(name, ARCHIVE)} cannot be read ({error})") from None
    if not isinstance(entry, dict) or {out["path"] for out in entry.get("outs", [])} != {*jobs.spec.outs}:
        raise UserError(f"the outcome of {name} is not of {jobs.spec.stage} as dvc.yaml has it")
    return entry


def is_known(stage: str, entry: LockEntry) -> bool:
    """Whether dvc.lock and the cache hold all of it: if DVC runs such a stage, it is to be run anew (`dvc repro --force`)."""
    cache = dvc_remote.cache()
    return stage_spec.locked().get(stage) == entry and all(
        (cache / "files/md5" / out["md5"][:2] / out["md5"][2:]).exists() for out in entry["outs"]
    )


def is_there(jobs: Jobs, entry: LockEntry) -> bool:
    """Whether the remote holds all outputs. If not, the work has to be done again; to bring them would fail for ever."""
    with aws.asking("the DVC remote"):
        client, bucket = jobs.remote.client(jobs.settings.region), jobs.remote.bucket
        todo = [str(out["md5"]) for out in entry["outs"]]
        while todo:
            md5 = todo.pop()
            key = jobs.remote.key("files/md5", md5[:2], md5[2:])
            try:
                if md5.endswith(".dir"):  # which lists the files of a folder
                    files = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())
                    todo += [str(file["md5"]) for file in files]
                else:
                    client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if aws.code_of(error) in MISSING:
                    return False
                raise
            except (ValueError, LookupError, TypeError):
                return False
    return True


def bring(jobs: Jobs, entry: LockEntry) -> None:
    """Put the outputs in place, all of them or none. Raises UserError if the remote lacks one or it is damaged."""
    from dvc.config import Config

    here = Path(".dvc")
    (here / "tmp").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here / "tmp", prefix="sagemaker-") as folder:
        tree = Path(folder)
        (tree / here).mkdir()
        for name in ("config", "config.local"):
            if (here / name).exists():
                shutil.copy2(here / name, tree / here)
        with Config(str(tree / here)).edit("local") as config:
            config["cache"]["dir"] = str(dvc_remote.cache())
            config["core"]["no_scm"] = True
            config["remote"].setdefault(jobs.remote.name, {})["verify"] = jobs.remote.section["verify"]
        for file in (stage_spec.MAP, "params.yaml"):
            shutil.copy2(file, tree)
        YAML(typ="safe", pure=True).dump({"schema": "2.0", "stages": {jobs.spec.stage: entry}}, tree / stage_spec.LOCK)
        dvc_remote.dvc("pull", "--remote", jobs.remote.name, jobs.spec.stage, folder=tree)
        for out in entry["outs"]:
            with replacing(Path(out["path"])) as half:
                shutil.move(tree / out["path"], half)


def tidy(jobs: Jobs) -> None:
    """Remove the checkpoints of work that is done. Raises UserError where S3 refuses."""
    with aws.asking("the checkpoints in the DVC remote"):
        client, bucket = jobs.remote.client(jobs.settings.region), jobs.remote.bucket
        prefix = jobs.remote.key(RUNS, jobs.work, CHECKPOINTS) + "/"
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            if keys := [{"Key": item["Key"]} for item in page.get("Contents", [])]:
                client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
