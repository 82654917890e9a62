"""Delta tables on a real S3 server: the whole suite, and what is told when server, bucket or credentials are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from pydantic import ValidationError

from flowpipe.adapters import Dataset, Held, Staged
from flowpipe.adapters.abilities import Batching
from flowpipe.adapters.delta import Delta, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import FlowpipeError, PublishError
from flowpipe.objectstore import filesystem, polars_options
from flowpipe.partition import WHOLE
from flowpipe.testing.servers import S3Server
from flowpipe.testing.suite import AdapterSuite, Store, month, rows


class Bucket:
    """A fresh prefix of the test server's bucket."""

    def __init__(self, server: S3Server) -> None:
        self.url = f"s3://{server.bucket}/{uuid4().hex[:8]}"
        self.options = {"key": server.key, "secret": server.secret, "endpoint_url": server.endpoint}

    def store(self, **options: Any) -> Delta:
        return Delta(Options(url=self.url, options=self.options | options), Path())

    def table(self, dataset: Dataset) -> DeltaTable:
        return DeltaTable(f"{self.url}/{dataset.config.table}", storage_options=polars_options(self.url, self.options))

    def files(self, *parts: str) -> set[str]:
        fs, path = filesystem("/".join((self.url, *parts)), self.options)
        return {file.removeprefix(f"{path}/") for file in fs.find(path)}


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server)


class TestDeltaOnS3(AdapterSuite):
    changed = "version 1 (DELETE) is not flowpipe's"

    @pytest.fixture
    def store(self, tmp_path: Path, bucket: Bucket) -> Store:
        self.bucket = bucket
        return Store(bucket.store(), tmp_path)

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        return Dataset(name, DatasetConfig.model_validate({"store": "lake", "table": name, **config}))

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        self.bucket.table(dataset).delete("id = 1")

    def drop(self, store: Store, dataset: Dataset) -> None:
        fs, path = filesystem(f"{self.bucket.url}/{dataset.config.table}", self.bucket.options)
        fs.rm(path, recursive=True)

    def test_discarded_rows_leave_no_file_and_touch_no_published_one(self, store: Store) -> None:
        dataset = self.dataset()
        published = store.publish(dataset, rows("2013-01", 1))
        staged = store.stage(dataset, rows("2013-01", 2), fingerprint="f2", run="run2")
        assert store.adapter.is_staged(staged.staged)
        store.adapter.discard(staged.staged)
        store.adapter.discard(published.staged)
        assert not store.adapter.is_staged(staged.staged)
        assert store.adapter.is_staged(published.staged)
        assert store.held(dataset) == Held(published.state)

    def _held_when_gone(self) -> Held:
        return Held()

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"table": f"delays_{mode}"})


def dataset(**config: Any) -> Dataset:
    return Dataset("delays", DatasetConfig.model_validate({"store": "lake", "table": "delays", **config}))


def test_a_data_file_that_is_gone_is_noticed(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(bucket.store(), tmp_path)
    store.publish(dataset(), rows("2013-01", 1))
    [uri] = bucket.table(dataset()).file_uris()
    fs, path = filesystem(uri, bucket.options)
    fs.rm_file(path)
    assert store.held(dataset()).changed == "1 of its 1 data files are gone"


def test_staged_rows_without_credentials_as_from_a_manifest_are_published(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(bucket.store(), tmp_path)
    merging = dataset(mode="merge", key=["id"])
    store.publish(merging, rows("2013-01", 1, 2))
    publication = store.stage(merging, rows("2013-02", 2, 3), fingerprint="f2", run="run2")
    staged = Staged(publication.staged.files, publication.staged.schema)
    store.adapter.publish(type(publication)(merging, WHOLE, staged, publication.state))
    assert store.ids(merging) == [1, 2, 3]
    assert "secret" not in repr(publication)
    assert not [name for name in bucket.files("delays") if "run2" in name], "the staged file was dropped"


def test_rows_next_to_a_slice_in_one_file_stay(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(bucket.store(), tmp_path)
    monthly = dataset(mode="replace", partition={"column": "day", "every": "month"})
    both = pl.concat([rows("2013-01", 1), rows("2013-02", 2)])
    write_deltalake(f"{bucket.url}/delays", both, storage_options=polars_options(bucket.url, bucket.options))
    store.publish(monthly, rows("2013-02", 3), month("2013-02"))
    assert store.ids(monthly) == [1, 3]


def test_hive_folders(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(bucket.store(), tmp_path)
    monthly = dataset(mode="replace", partition={"column": "day", "every": "month"}, partition_by=["name"])
    frame = rows("2013-02", 3, 4).with_columns(name=pl.Series(["a b/é%", None]))
    store.publish(monthly, frame, month("2013-02"))
    assert store.read(monthly).sort("id")["name"].to_list() == ["a b/é%", None]
    assert store.held(monthly, month("2013-02")).changed is None


CREDENTIALS = "look at the credentials: the store's options, the environment, the profile"
SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    " (SignatureDoesNotMatch)"
)
NOWHERE = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or the store's options `key` and `secret`"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"secret": "wrong"}, SIGNATURE, CREDENTIALS),
        ({"key": "wrong"}, "The access key ID you provided does not exist in our records. (InvalidAccessKeyId)",
         CREDENTIALS),
        ({"endpoint_url": "http://127.0.0.1:1"}, "the server does not answer",
         "is `endpoint_url` right, and the server running?"),
        ({"key": "", "secret": ""}, "no credentials were found", NOWHERE),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_access_is_told_once(
    bucket: Bucket, tmp_path: Path, options: dict[str, str], message: str, hint: str
) -> None:
    good, bad = Store(bucket.store(), tmp_path), bucket.store(**options)
    publication = good.stage(dataset(), rows("2013-01", 1))
    expected = f"cannot open the Delta table {bucket.url}/delays: {message}\n  hint: {hint}"
    with pytest.raises(FlowpipeError) as caught:
        bad.held(dataset(), [WHOLE])
    assert (type(caught.value), str(caught.value)) == (FlowpipeError, expected)
    with pytest.raises(PublishError) as refused:
        bad.publish(publication)
    assert str(refused.value) == expected


def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    bucket.url = "s3://nowhere/lake"
    with pytest.raises(FlowpipeError) as caught:
        bucket.store().held(dataset(), [WHOLE])
    assert str(caught.value) == (
        "cannot open the Delta table s3://nowhere/lake/delays: The specified bucket does not exist (NoSuchBucket)\n"
        "  hint: make the bucket, or correct the store's `url`"
    )


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("s3://b/a b", 'delta-rs quotes what "s3://b/a b" holds, and Polars does not',
         "use only ASCII letters, digits and _ - . ~ /"),
        ("memory://x", 'delta-rs cannot write to "memory://"', "it knows file, s3, s3a, gs, az, adl, abfs, abfss"),
    ],
)  # fmt: skip
def test_urls_that_cannot_be(url: str, message: str, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Options(url=url)
    [error] = caught.value.errors()
    assert (str(error["ctx"]["error"]), error["ctx"]["error"].hint) == (message, hint)


def test_a_table_that_cannot_be(bucket: Bucket) -> None:
    named = Dataset("delays", DatasetConfig.model_validate({"store": "lake", "table": "é"}))
    assert list(bucket.store().check(named, written=True)) == [
        (("table",), 'delta-rs quotes what "é" holds, and Polars does not',
         "use only ASCII letters, digits and _ - . ~ /")]  # fmt: skip


def test_slices_go_together(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(bucket.store(), tmp_path)
    monthly = dataset(mode="replace", partition={"column": "day", "every": "month"})
    keys = [f"2013-{number:02}" for number in range(1, 13)]
    staged = [store.stage(monthly, rows(key, number), month(key)) for number, key in enumerate(keys, 1)]
    assert isinstance(store.adapter, Batching)
    store.adapter.publish_all(staged)
    assert bucket.table(monthly).version() == 1
    held = store.adapter.held(monthly, [one.slice for one in staged])
    assert held == {one.slice.key: Held(one.state) for one in staged}
    assert store.ids(monthly) == list(range(1, 13))
