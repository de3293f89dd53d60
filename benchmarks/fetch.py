"""Processor time to fetch one small object: this project beside boto3, s5cmd, s3fs and the AWS CLI.

    python benchmarks/fetch.py [objects] [rounds]

Each one lists a prefix of metadata files (5,000 of 1.9 KB unless said otherwise) on a loopback server and fetches them
all, in a process of its own; this project checks the MD5 of each body, the others check none; all read anonymously.
Processor time is user and system time of the process and its children; the server's is not in it. Every client runs
twice a round, with all objects and with few: the difference is the cost of the objects without the start of the
client. Rounds are interleaved, medians count (least and most in brackets). RIVALS: see rivals.py.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from rivals import machine, middle, rivals, spend

FEW = 50
CONCURRENCY = 32  # as params.yaml has it
THREADS = 16  # of boto3
OURS = "this project"


def objects(count: int) -> dict[str, bytes]:
    from warehouse_classifier.bucket.objects import METADATA, key_of
    from warehouse_classifier.synthetic.bins import SyntheticBins

    bins = SyntheticBins(2 * count, 7)
    return {key_of(METADATA, id): bins.metadata(id) for id in islice(bins.ids(), count)}


# ---- the clients in Python, each in a process that imports only what it needs; bodies stay in memory


def with_ours(url: str) -> Iterable[bytes]:
    from contextlib import closing

    from warehouse_classifier.bucket.bucket import open_bucket
    from warehouse_classifier.bucket.objects import METADATA

    with closing(open_bucket("s3://bins", CONCURRENCY)) as bucket:
        entries = list(bucket.list(METADATA))
        assert all(bucket.checked(entry) == "md5" for entry in entries)
        return [body for _, body in bucket.get_many(entries) if isinstance(body, bytes)]


def with_boto3(url: str) -> Iterable[bytes]:
    from concurrent.futures import ThreadPoolExecutor

    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(signature_version=UNSIGNED, max_pool_connections=THREADS)
    client = boto3.client("s3", endpoint_url=url, config=config)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bins", Prefix="metadata/")
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda key: client.get_object(Bucket="bins", Key=key)["Body"].read(), keys))


def with_s3fs(url: str) -> Iterable[bytes]:
    import s3fs

    bucket = s3fs.S3FileSystem(anon=True, endpoint_url=url)
    keys: list[str] = []
    page = {"NextContinuationToken": None}
    while "NextContinuationToken" in page:  # find() says delimiter=, which the server does not speak
        onwards = {"ContinuationToken": token} if (token := page["NextContinuationToken"]) else {}
        page = bucket.call_s3("list_objects_v2", Bucket="bins", Prefix="metadata/", **onwards)
        keys += [f"bins/{entry['Key']}" for entry in page["Contents"]]
    return bucket.cat(keys).values()


IN_PYTHON = {OURS: with_ours, "boto3": with_boto3, "s3fs": with_s3fs}


# ---- every client as a command: (url, folder) -> what is run; it leaves files in the folder or says "count bytes"


def command(client: str, bin: Path, url: str, folder: str) -> list[str | Path]:
    cli = ["--endpoint-url", url, "--no-sign-request"]
    match client:
        case "s5cmd cp":
            return [bin / "s5cmd", *cli, "--log", "error", "cp", "s3://bins/metadata/*", f"{folder}/"]
        case "s5cmd cat":  # the bodies go nowhere: what s5cmd costs without a file for each object
            return ["sh", "-c", '"$@" | wc -c', "sh", bin / "s5cmd", *cli, "cat", "s3://bins/metadata/*"]
        case "AWS CLI":
            quiet = "--only-show-errors"
            return [bin / "aws", *cli, "s3", "cp", "s3://bins/metadata/", folder, "--recursive", quiet]
        case _:
            return [sys.executable, __file__, "--client", client, url]


def once(client: str, bin: Path, url: str, bodies: dict[str, bytes]) -> tuple[float, float]:
    """Seconds of processor and by the clock. Raises if not every byte came."""
    size = sum(map(len, bodies.values()))
    with tempfile.TemporaryDirectory() as folder:
        spent = spend(command(client, bin, url, folder), {"AWS_ENDPOINT_URL": url})
        sizes = [file.stat().st_size for file in Path(folder).iterdir()]
        came = spent.said.split() if not sizes else [str(len(sizes)), str(sum(sizes))]
    if came[-1:] != [str(size)] or (len(came) > 1 and came[0] != str(len(bodies))):
        raise RuntimeError(f"{client}: {came} came of {len(bodies)} objects, {size} bytes")
    return spent.cpu, spent.wall


def main(count: int, rounds: int) -> None:
    from s3_server import Store, serving

    print(machine("obstore", "boto3", "s3fs"))
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    with ExitStack() as stack:
        bins = stack.enter_context(rivals("s5cmd", "awscli"))
        few, all_of_them = (
            (stack.enter_context(serving(Store(partial(objects, n)), process=True)).url, objects(n))
            for n in (FEW, count)
        )
        here = Path(sys.executable).parent
        clients = dict.fromkeys(IN_PYTHON, here)
        if "s5cmd" in bins:
            clients |= {"s5cmd cp": bins["s5cmd"], "s5cmd cat": bins["s5cmd"]}
        if "awscli" in bins:
            clients["AWS CLI"] = bins["awscli"]
        for round in range(rounds):
            for client, bin in clients.items():
                print(f"round {round + 1} of {rounds}: {client}", file=sys.stderr, flush=True)
                rows.setdefault(client, []).append((*once(client, bin, *few), *once(client, bin, *all_of_them)))
    print(f"{count} objects, {rounds} rounds; the start is that of a run with {FEW}")
    columns = f"{'µs CPU an object':>26}{'x ours':>9}{'CPU s with start':>18}{'x ours':>9}{'wall s':>9}"
    print(f"{'client':<14}{columns}")
    each = {client: [(all - few) / (count - FEW) * 1e6 for few, _, all, _ in runs] for client, runs in rows.items()}
    whole = {client: median([run[2] for run in runs]) for client, runs in rows.items()}
    for client, runs in rows.items():
        times = median(each[client]) / median(each[OURS])
        wall = median([run[3] for run in runs])
        cpu = f"{whole[client]:>18.2f}{whole[client] / whole[OURS]:>9.2f}"
        print(f"{client:<14}{middle(each[client]):>26}{times:>9.2f}{cpu}{wall:>9.2f}")
    for client, reach in (("boto3", 6.0), ("s5cmd cp", 2.5)):
        if client in each:
            times = median(each[client]) / median(each[OURS])
            print(f"{times:.2f} times less than {client}; to reach: {reach}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client: Callable[[str], Iterable[bytes]] = IN_PYTHON[sys.argv[2]]
        sizes = [len(body) for body in client(sys.argv[3])]
        print(len(sizes), sum(sizes))
    else:
        words = [int(word) for word in sys.argv[1:]]
        main(*(words + [5000, 3][len(words) :]))
