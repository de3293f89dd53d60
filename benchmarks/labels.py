"""How far can the inventory's numbers be believed?

    python benchmarks/labels.py BUCKET [predictions.csv] [--pairs 10000]

BUCKET is the real one or a folder that mirrors it. Prints how many bins there are whose items do not add up to EXPECTED_QUANTITY,
and which; and, of the predictions that `evaluate` left in reports/, the test bins in which the counter was surest of another
number: the first to be looked at by whoever doubts the labels.
"""

import argparse
from itertools import islice
from pathlib import Path

import pandas as pd

from warehouse_classifier.bins.metadata import parse
from warehouse_classifier.bucket.bucket import open_bucket
from warehouse_classifier.bucket.objects import METADATA, Unreadable, id_of
from warehouse_classifier.evaluation.counters import AVERAGE

SHOWN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bucket")
    parser.add_argument("predictions", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int, default=10000)
    arguments = parser.parse_args()
    bucket = open_bucket(arguments.bucket, concurrency=32)
    bins, damaged, apart = 0, 0, []
    try:
        for entry, body in bucket.get_many(islice(bucket.list(METADATA), arguments.pairs)):
            if isinstance(body, Unreadable):
                continue
            try:
                quantity, items = parse(body)
            except ValueError:
                damaged += 1
                continue
            added = sum(item["quantity"] for item in items)
            bins += 1
            if added != quantity:
                apart.append((id_of(entry.key), quantity, added))
    finally:
        bucket.close()
    print(f"{len(apart)} of {bins} bins hold items that do not add up ({damaged} more cannot be read):")
    for id, quantity, added in apart[:SHOWN]:
        print(f"  {id}: {quantity} expected, items of {added}")
    if arguments.predictions:
        table = pd.read_csv(arguments.predictions, dtype={"id": str})
        sure = table[[name for name in table if str(name).startswith(f"{AVERAGE}_p")]].max(axis=1)
        wrong = table.assign(sure=sure)[table[AVERAGE] != table["quantity"]].nlargest(SHOWN, "sure")
        print(f"the surest of {int((table[AVERAGE] != table['quantity']).sum())} errors in {len(table)} test bins:")
        for row in wrong.itertuples():
            print(f"  {row.id}: {row.quantity} expected, counted {getattr(row, AVERAGE)}, sure {row.sure:.0%}")


if __name__ == "__main__":
    main()
