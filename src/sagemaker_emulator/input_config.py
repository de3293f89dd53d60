"""What stands in /opt/ml/input/config: hyperparameters, the instances of the job, and its channels."""

from typing import Any

INTERFACE = "lo"


def configs(request: dict[str, Any], number: int) -> dict[str, Any]:
    """The content of each JSON file there by the file's name, as instance `number` (from 1 on) finds it."""
    return {
        "hyperparameters": request.get("HyperParameters", {}),
        "resourceconfig": _resources(request, number),
        "inputdataconfig": {
            channel["ChannelName"]: _channel(channel) for channel in request.get("InputDataConfig", [])
        },
    }


def host(number: int) -> str:
    """Address of an instance for the others: all of 127.0.0.0/8 is this machine."""
    return f"127.0.0.{number}"


def _resources(request: dict[str, Any], number: int) -> dict[str, Any]:
    kind, hosts = (request["ResourceConfig"][name] for name in ("InstanceType", "InstanceCount"))
    everyone, group = [host(n) for n in range(1, hosts + 1)], "homogeneousCluster"
    return {
        "current_host": host(number),
        "current_instance_type": kind,
        "current_group_name": group,
        "hosts": everyone,
        "instance_groups": [{"instance_group_name": group, "instance_type": kind, "hosts": everyone}],
        "network_interface_name": INTERFACE,
    }


def _channel(channel: dict[str, Any]) -> dict[str, str]:
    config = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    return {"ContentType": channel["ContentType"], **config} if "ContentType" in channel else config
