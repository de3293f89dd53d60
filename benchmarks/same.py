"""A folder of bins and the same bins in an S3 server (moto's, on loopback): do they give the same selection and shards?

python benchmarks/same.py folder [test images]
"""

import logging
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import boto3
import pandas as pd
import pyarrow.parquet as pq
from botocore.config import Config
from moto.server import ThreadedMotoServer

from pipeline import run
from warehouse_classifier.bins.selection import COLUMNS
from warehouse_classifier.bucket.bucket import open_bucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS

SECRETS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}


def upload(source: Path) -> str:
    """Start a server that holds the folder; returns the bucket's URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {**SECRETS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    client = boto3.client("s3", config=Config(max_pool_connections=8))
    client.create_bucket(Bucket="bins")

    def put(key: str) -> None:
        client.put_object(Bucket="bins", Key=key, Body=(source / key).read_bytes())

    with ThreadPoolExecutor(8) as pool, closing(open_bucket(str(source))) as bucket:
        print(sum(1 for kind in (METADATA, PHOTOS) for _ in pool.map(put, (entry.key for entry in bucket.list(kind)))))
    return "s3://bins"


def main(source: Path, test_images: int) -> None:
    buckets = {"folder": str(source), "S3": upload(source)}
    left, checked = {}, {}
    with tempfile.TemporaryDirectory() as there:
        for name, url in buckets.items():
            folder = Path(there) / name
            folder.mkdir()
            params = {"data.sample.bucket": url, "select_images.sample.test_images": test_images}
            for ran in islice(run(folder, params), 3):
                print(f"{name}: {ran.stage} {ran.seconds:.1f} s")
            data = folder / "data"
            selection = pd.read_csv(data / "selection.csv", dtype=COLUMNS)
            images = {path.name: path.read_bytes() for path in (data / "images").iterdir()}
            left[name] = (selection.drop(columns="image_etag"), images)
            checked[name] = pq.read_table(data / "metadata.parquet")["checked"].to_pandas().value_counts().to_dict()
    (chosen, images), (others, other_images) = left.values()
    print("pairs by what they were checked against:", checked)
    print(
        f"{len(chosen)} selected bins, without the ETags that a folder has not: {'the same' if chosen.equals(others) else 'OTHERS'}"
    )
    print(f"{len(images)} files of images/: {'the same bytes' if images == other_images else 'OTHER BYTES'}")
    sys.exit(not (chosen.equals(others) and images == other_images))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int((sys.argv[2:] or ["500"])[0]))
