"""Files on a real S3 server, in memory and behind a real HTTP server: the suite of all stores, and more."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from flowpipe.adapters import Dataset, Held
from flowpipe.adapters.files import Files, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.testing import servers
from flowpipe.testing.suite import TYPES, AdapterSuite, Store

TEXT_TYPES = TYPES.drop("list", "struct")


def file(path: str, name: str = "delays", **config: Any) -> Dataset:
    return Dataset(name, DatasetConfig(store="landing", path=path, **config))


def settings(server: servers.S3Server) -> dict[str, Any]:
    return {"endpoint_url": server.endpoint, "key": server.key, "secret": server.secret, "region": "us-east-1"}


@pytest.fixture
def bucket(s3_server: servers.S3Server, tmp_path: Path) -> Store:
    """A folder of its own in the server's bucket."""
    options = Options(url=f"s3://{s3_server.bucket}/{tmp_path.name}", options=settings(s3_server))
    return Store(Files(options, tmp_path), tmp_path)


def fs_of(store: Store) -> tuple[Any, str]:
    assert isinstance(store.adapter, Files)
    folder = store.adapter._folder
    return folder.fs, folder.absolute("")


class RemoteSuite(AdapterSuite):
    modes = ("overwrite", "replace", "append")
    ending = "parquet"
    changed = "the file was changed by somebody else"
    gone = "the file is gone"
    options: ClassVar[dict[str, Any]] = {}

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        path = f"{name}/{{partition:%Y-%m}}.{self.ending}" if "partition" in config else f"{name}.{self.ending}"
        return file(path, name, **{"options": self.options} | config)

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        fs, root = fs_of(store)
        frame, target = store.read(dataset).filter(pl.col("id") != 1), store.folder / f"foreign.{self.ending}"
        getattr(frame, f"write_{self.ending}")(target)
        fs.put_file(str(target), f"{root}delays.{self.ending}")

    def drop(self, store: Store, dataset: Dataset) -> None:
        fs, root = fs_of(store)
        fs.rm_file(f"{root}delays.{self.ending}")

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"path": f"{mode}/{config.path}"})


class S3Suite(RemoteSuite):
    @pytest.fixture
    def store(self, bucket: Store) -> Store:
        return bucket


class MemorySuite(RemoteSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(Files(Options(url=f"memory://{tmp_path.name}"), tmp_path), tmp_path)


class _Parquet:
    changed = "the file was replaced"

    def _held_when_gone(self) -> Held:
        return Held()  # the state was in the file


class _Text:
    ending = "csv"
    types = TEXT_TYPES


class _NDJSON:
    ending = "ndjson"


class TestS3Parquet(_Parquet, S3Suite):
    pass


class TestS3CSV(_Text, S3Suite):
    pass


class TestS3NDJSON(_NDJSON, S3Suite):
    pass


class TestS3IPC(S3Suite):
    ending = "ipc"


class TestS3JSON(S3Suite):
    ending = "json"


class TestMemoryParquet(_Parquet, MemorySuite):
    pass


class TestMemoryCSV(_Text, MemorySuite):
    pass
