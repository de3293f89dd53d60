"""Buckets: whatever kind one is, it looks the same; and each says in one line why it cannot be read."""

import multiprocessing
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.bins import bins, mirror
from support.launching import error_line
from support.s3 import S3
from support.server import Served
from warehouse_classifier.bucket.bucket import open_bucket
from warehouse_classifier.bucket.object_store import StoreBucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, ObjectInfo, Unreadable, id_of, key_of
from warehouse_classifier.runtime.errors import UserError

DENIED = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


@pytest.fixture(params=["synthetic", "folder", "s3", "s3 with a prefix"])
def url(request: pytest.FixtureRequest, s3: S3, tmp_path: Path) -> str:
    if request.param == "synthetic":
        return "synthetic://?pairs=30&seed=7"
    if request.param == "folder":
        return mirror(bins(30), tmp_path)
    return s3.bucket(bins(30), "some/where" if "prefix" in request.param else "")


def reason(body: Any) -> str:
    assert isinstance(body, Unreadable)
    return body.reason


def fault(url: str) -> str:
    with pytest.raises(UserError) as caught:
        list(open_bucket(url).list(METADATA))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_every_kind_is_listed_and_read_alike(url: str) -> None:
    for folder, concurrency in ((METADATA, 1), (PHOTOS, 5)):
        with closing(open_bucket(url, concurrency)) as bucket:
            entries = list(bucket.list(folder))
            assert [entry.key for entry in entries] == [key_of(folder, f"{n:05}") for n in range(1, 31)]
            for entry in entries:
                assert (entry.etag is None) == url.startswith("/")
                assert (entry.size is None) == url.startswith("synthetic:")
            bodies = {entry.key: bucket.get(entry) for entry in entries}
            assert all(isinstance(body, bytes) for body in bodies.values())
            assert len(set(bodies.values())) > 20
            asked = [*entries[7::-1], *entries[20:], ObjectInfo(key_of(folder, "99999"))]
            for _ in range(2):
                came = list(bucket.get_many(asked))
                assert [entry for entry, _ in came] == asked
                assert [body for _, body in came[:-1]] == [bodies[entry.key] for entry in asked[:-1]]
                assert came[-1][1] == Unreadable("missing")
            assert not list(bucket.get_many([]))


def test_every_kind_says_how_it_is_checked(url: str) -> None:
    bucket = open_bucket(url)
    entry = next(bucket.list(METADATA))
    how, stamp = bucket.checked(entry), bucket.stamp(entry)
    if url.startswith("synthetic:"):
        assert (how, stamp) == ("fingerprint", entry.etag)
    elif url.startswith("s3:"):
        assert (how, stamp) == ("md5", entry.etag)
        assert bucket.checked(ObjectInfo(entry.key, entry.size, "0123abcd-2")) == "length"
    else:
        assert how == "length"
        assert stamp is not None


@pytest.mark.slow
def test_a_body_is_that_of_the_listing(url: str) -> None:
    """An object that is another than the one that was listed is a fault that names it, whatever tells the two apart."""
    bucket = open_bucket(url)
    entry = next(bucket.list(PHOTOS))
    assert isinstance(bucket.get(ObjectInfo(entry.key)), bytes)
    another = ObjectInfo(entry.key, entry.size, "0123abcd")
    if url.startswith("/"):
        another = ObjectInfo(entry.key, (entry.size or 0) + 1)
        was = f"({another.size} bytes, now {entry.size})"
    elif url.startswith("s3:"):
        assert reason(bucket.get(ObjectInfo(entry.key, (entry.size or 0) + 1, entry.etag))) == (
            f"{entry.size} bytes came, {(entry.size or 0) + 1} were listed"
        )
        was = f"(ETag 0123abcd, now {entry.etag})"
    else:
        was = "(fingerprint 0123abcd)"
    for read in (lambda: bucket.get(another), lambda: list(bucket.get_many([another]))):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value) == (
            f"bucket {url}: {entry.key} is no longer what was listed {was};"
            " start again, the pipeline with `dvc repro -f fetch_metadata`, and it is listed anew"
        )
    bucket.close()


def test_what_s3_lists_beyond_its_first_page_is_listed_too(serve: Callable[..., Served]) -> None:
    keys = [f"metadata/{n:05}.json" for n in range(1, 3206)]
    serve(dict.fromkeys(keys, b"x"))
    assert [entry.key for entry in open_bucket("s3://bins", 4).list(METADATA)] == keys


def test_an_etag_has_no_quotes(s3: S3) -> None:
    (entry,) = open_bucket(s3.bucket({"metadata/1.json": b"hello"})).list(METADATA)
    assert entry == ObjectInfo("metadata/1.json", 5, "5d41402abc4b2a76b9719d911017c592")
    assert entry.md5 == entry.etag


@pytest.mark.parametrize(
    ("etag", "md5"),
    [
        ("5D41402ABC4B2A76B9719D911017C592", "5d41402abc4b2a76b9719d911017c592"),
        ("5d41402abc4b2a76b9719d911017c592-1", None), ("5d41402abc4b2a76b9719d911017c59", None), ("", None), (None, None),
        ("opaque", None),
    ],
)  # fmt: skip
def test_an_etag_is_the_md5_where_it_looks_like_one(etag: str | None, md5: str | None) -> None:
    assert ObjectInfo("metadata/1.json", 5, etag).md5 == md5


def test_an_object_changed_after_the_listing_is_not_taken(s3: S3) -> None:
    url = s3.bucket({"bin-images/1.jpg": b"before", "bin-images/2.jpg": b"before"})
    bucket = open_bucket(url, 2)
    one, two = bucket.list(PHOTOS)
    s3.client.put_object(Bucket=url[5:], Key=one.key, Body=b"longer than before")
    s3.client.put_object(Bucket=url[5:], Key=two.key, Body=b"after!")
    for entry in (one, two):
        with pytest.raises(UserError, match=f"{entry.key} is no longer what was listed"):
            bucket.get(entry)


def test_strange_keys_are_read_as_they_are_listed(s3: S3, tmp_path: Path) -> None:
    strange = ["metadata/a b%20c#?é.json", "metadata/sub/1.json", "metadata/x.json.bak"]
    for url in (s3.bucket(dict.fromkeys(strange, b"x")), mirror(dict.fromkeys(strange, b"x"), tmp_path)):
        bucket = open_bucket(url)
        assert [(entry.key, bucket.get(entry)) for entry in bucket.list(METADATA)] == [(key, b"x") for key in strange]


@pytest.mark.parametrize(
    ("key", "id"),
    [
        ("metadata/00001.json", "00001"),
        ("bin-images/1.jpg", "1"),
        ("metadata/a_b-C.json", "a_b-C"),
        *((key, None) for key in (
            "metadata", "metadata/", "metadata/.json", "metadata/1.jpg", "bin-images/1.json", "metadata/1.json.bak",
            "metadata/sub/1.json", "metadata/../1.json", "metadata/1.2.json", "metadata/1\n.json", "metadata/é.json",
            "other/1.json", "1.json", "metadata/" + "1" * 65 + ".json",
        )),
    ],
)  # fmt: skip
def test_an_id_is_a_plain_name(key: str, id: str | None) -> None:
    assert id_of(key) == id
    if id is not None:
        assert key_of(key.split("/", maxsplit=1)[0], id) == key


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/bins", "bucket ftp://host/bins is of no known kind; it is synthetic://, s3:// or the path of a folder"),
        ("http://[", "bucket http://[ is of no known kind; it is synthetic://, s3:// or the path of a folder"),
        *((url, f"bucket {url} must look like synthetic://?pairs=5000&seed=7") for url in (
            "synthetic://", "synthetic://?pairs=5", "synthetic://?pairs=x&seed=1", "synthetic://?pairs=-1&seed=1",
            "synthetic://?pairs=5&seed=1&size=3", "synthetic://?pairs=5&pairs=6&seed=1", "synthetic://?pairs=1.5&seed=1",
        )),
        *((url, f"bucket {url} names no bucket; it looks like s3://aft-vbi-pds or s3://bucket/prefix") for url in (
            "s3://", "s3:/aft-vbi-pds", "s3:///x", "s3://[x", "s3://a b",
        )),
    ],
)  # fmt: skip
def test_a_url_that_names_no_bucket_is_refused(url: str, message: str) -> None:
    assert fault(url) == message


def test_a_folder_that_is_no_bucket_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    looked_for = f"there is no folder {tmp_path}/bins/metadata; it must hold metadata/ and bin-images/"
    assert fault("bins") == f"bucket bins: {looked_for}"
    mirror(bins(2), tmp_path / "bins")
    assert len(list(open_bucket("bins").list(PHOTOS))) == 2  # relative to $DVC_ROOT, wherever the process stands


def test_a_key_that_no_path_can_hold_is_named(s3: S3, tmp_path: Path) -> None:
    assert "holds a key that cannot be read; remove or rename it (" in fault(s3.bucket({"metadata//1.json": b"x"}))
    mirror({"metadata/new\nline.json": b"x"}, tmp_path)
    assert "holds a key that cannot be read; remove or rename it (" in fault(str(tmp_path))


def test_a_bucket_that_is_not_there_is_named(s3: S3) -> None:
    assert fault("s3://nowhere") == "bucket s3://nowhere does not exist; check its name and AWS_ENDPOINT_URL"


@pytest.mark.parametrize("status", [401, 403])
def test_a_bucket_that_denies_access_is_named(answering: Callable[..., list[str]], status: int) -> None:
    asked = answering(status, DENIED)
    way_out = "set AWS_ACCESS_KEY_ID and its secret, or check what they may read (AWS_PROFILE is not read here)"
    assert fault("s3://bins") == f"bucket s3://bins denies access; {way_out}"
    assert len(asked) == 1  # asking again is of no use
    assert reason(open_bucket("s3://bins").get(ObjectInfo("metadata/1.json"))) == "access denied"
    assert len(asked) == 4  # of one object it is


def test_a_server_that_is_busy_is_asked_again(answering: Callable[..., list[str]], told_soon: None) -> None:
    asked = answering(503, "<Error><Code>SlowDown</Code></Error>")
    assert "cannot be reached; check the network and AWS_ENDPOINT_URL" in fault("s3://bins")
    assert len(asked) > 3


def test_a_server_that_is_down_is_told_in_seconds(aws: pytest.MonkeyPatch, told_soon: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        aws.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        began = time.monotonic()
        message = fault("s3://bins")
    assert message.startswith("bucket s3://bins cannot be reached; check the network and AWS_ENDPOINT_URL (")
    assert time.monotonic() - began < 2


def test_a_worker_that_is_killed_is_told() -> None:
    bucket = open_bucket("synthetic://?pairs=400&seed=7", 2)
    came = bucket.get_many(list(bucket.list(PHOTOS)))
    next(came)
    multiprocessing.active_children()[0].kill()
    with pytest.raises(UserError, match="a process that draws bins was killed; perhaps there is too little memory"):
        list(came)


@pytest.mark.parametrize(
    "address", ["localhost:9000", "http://", "http://[", "http://a b", "ftp://host", "http://127.0.0.1:99999", "-"]
)
def test_an_address_that_is_none_is_named(aws: pytest.MonkeyPatch, address: str) -> None:
    aws.setenv("AWS_ENDPOINT_URL", address)
    assert fault("s3://bins") == (
        f"AWS_ENDPOINT_URL is {address}, it must look like http://127.0.0.1:9000 or https://host"
    )


@pytest.mark.parametrize("credentials", [True, False])
def test_the_public_bucket_is_read_without_credentials(
    answering: Callable[..., list[str]], aws: pytest.MonkeyPatch, credentials: bool
) -> None:
    answering(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    if not credentials:
        aws.delenv("AWS_ACCESS_KEY_ID")
        aws.delenv("AWS_SECRET_ACCESS_KEY")
    assert list(open_bucket("s3://aft-vbi-pds").list(METADATA)) == []
    for url, anonymous in (("s3://aft-vbi-pds", True), ("s3://mine", not credentials)):
        bucket = open_bucket(url)
        assert isinstance(bucket, StoreBucket)
        assert all(s3.config["skip_signature"] in (anonymous, str(anonymous).lower()) for s3 in bucket.client._stores)  # noqa: SLF001


def test_a_stage_whose_bucket_is_wrong_ends_with_one_line(
    project: Path, answering: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    answering(403, DENIED)
    text = (project / "params.yaml").read_text()
    for url, message in {
        "s3://bins": "bucket s3://bins denies access",
        "gs://bins": "bucket gs://bins is of no known kind",
        "bins": "bucket bins: there is no folder",
        '"synthetic://?pairs=0&seed=1"': "bucket synthetic://?pairs=0&seed=1 holds no pair of",
    }.items():
        (project / "params.yaml").write_text(text.replace("bucket: bins", f"bucket: {url}", 1))
        assert error_line(capfd, "fetch_metadata", "small", "t.parquet", "u.parquet").startswith(message)
        assert not list(project.glob("*.parquet"))
