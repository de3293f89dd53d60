"""What an account has to have before a job can run: a role that SageMaker may take, and an image."""

import json

from sagemaker_emulator.cloud import ACCOUNT, REGION, Cloud

NAME, TAG = "warehouse-classifier", "latest"  # of the role and of the repository
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{NAME}:{TAG}"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def furnish(cloud: Cloud) -> None:
    """Make ROLE, and IMAGE with one empty layer."""
    cloud.iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
    cloud.ecr.create_repository(repositoryName=NAME)
    layer = {
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "size": 0,
        "digest": f"sha256:{'0' * 64}",
    }
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer]}
    cloud.ecr.put_image(repositoryName=NAME, imageTag=TAG, imageManifest=json.dumps(manifest))
