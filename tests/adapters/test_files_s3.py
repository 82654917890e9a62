"""Files on a real S3 server, in memory and behind a real HTTP server: the suite of all stores, and more."""

from __future__ import annotations

import os
import random
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import polars as pl
import pytest

from flowpipe.adapters import Dataset, Held, Missing
from flowpipe.adapters.abilities import Maintainable, Upkeep
from flowpipe.adapters.files import Files, Options, places, urls
from flowpipe.adapters.files.folder import Folder, Unreachable
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import PublishError
from flowpipe.partition import WHOLE
from flowpipe.testing import servers
from flowpipe.testing.suite import TYPES, AdapterSuite, Store, month, rows
from flowpipe.validation import MalformedError

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
    lives_on = False


class TestMemoryCSV(_Text, MemorySuite):
    lives_on = False


def put(store: Store, path: str, content: bytes) -> None:
    """Write an object as somebody else would."""
    fs, root = fs_of(store)
    fs.pipe_file(f"{root}{path}", content)


def names(store: Store) -> list[str]:
    fs, root = fs_of(store)
    return sorted(path.removeprefix(root) for path in fs.find(root))


def test_a_published_object_is_one_object_and_only_its_footer_is_read(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = file("wide.parquet")
    frame = pl.DataFrame({f"column {number}": range(100) for number in range(3000)})
    published = bucket.publish(dataset, frame)
    assert names(bucket) == ["wide.parquet"]
    fs, root = fs_of(bucket)
    read = []
    original = fs.cat_file
    monkeypatch.setattr(
        fs, "cat_file", lambda path, start, end: read.append(end - start) or original(path, start=start, end=end)
    )
    assert bucket.held(dataset) == Held(published.state)
    assert len(read) == 2  # the footer is longer than the tail that is asked for first
    assert sum(read) < fs.info(f"{root}wide.parquet")["size"] / 2


def test_text_is_not_downloaded_to_be_verified_where_the_store_tags_it(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = bucket.publish(file("a.csv"), rows("2013-01", 1))
    fs, _ = fs_of(bucket)
    assert names(bucket) == [".a.csv.flowpipe.json", "a.csv"]
    monkeypatch.setattr(fs, "open", None)  # whoever hashes an object opens it
    assert bucket.held(file("a.csv")) == Held(published.state)


def test_the_same_bytes_put_again_are_as_published_whatever_their_tag(bucket: Store) -> None:
    published = bucket.publish(file("a.csv"), rows("2013-01", 1))
    fs, root = fs_of(bucket)
    upload = fs.call_s3("create_multipart_upload", Bucket=root.split("/")[0], Key=f"{root.split('/')[1]}/a.csv")
    named = {name: upload[name] for name in ("Bucket", "Key", "UploadId")}
    part = fs.call_s3("upload_part", **named, PartNumber=1, Body=fs.cat_file(f"{root}a.csv"))
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    fs.call_s3("complete_multipart_upload", **named, MultipartUpload=parts)
    assert fs.info(f"{root}a.csv")["ETag"].endswith('-1"')
    assert bucket.held(file("a.csv")) == Held(published.state)
    put(bucket, "a.csv", b"id,day\n2,2013-01-01\n")
    assert bucket.held(file("a.csv")).changed == "the file was changed by somebody else"


def test_who_writes_at_the_same_time_is_not_taken_for_us(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publication = bucket.stage(file("a.csv"), rows("2013-01", 1))
    fs, root = fs_of(bucket)
    original = fs.put_file

    def overtaken(*arguments: Any, **named: Any) -> None:
        original(*arguments, **named)
        put(bucket, "a.csv", b"id,day\n9,2013-01-01\n")

    monkeypatch.setattr(fs, "put_file", overtaken)
    with pytest.raises(PublishError) as caught:
        bucket.adapter.publish(publication)
    assert str(caught.value) == (
        f"s3://{root}a.csv cannot be published: somebody else wrote it at the same time\n  hint: the old file is whole"
    )
    assert bucket.held(file("a.csv")) == Held()
    monkeypatch.undo()
    bucket.adapter.publish(publication)
    assert bucket.ids(file("a.csv")) == [1]


def test_a_crash_between_object_and_sidecar_is_repaired(bucket: Store) -> None:
    dataset = file("a.csv")
    bucket.publish(dataset, rows("2013-01", 1))
    fs, root = fs_of(bucket)
    old = fs.cat_file(f"{root}.a.csv.flowpipe.json")
    publication = bucket.publish(dataset, rows("2013-01", 2, 3), fingerprint="f2", run="run2")
    put(bucket, ".a.csv.flowpipe.json", old)
    assert bucket.held(dataset).changed == "the file was changed by somebody else"
    for _ in range(2):
        bucket.adapter.publish(publication)
        assert bucket.ids(dataset) == [2, 3]
        assert bucket.held(dataset) == Held(publication.state)


def test_a_listing_is_never_remembered_and_no_wider_than_needed(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = file("in/2013-*.csv")
    put(bucket, "in/2013-01.csv", b"id\n1\n")
    put(bucket, "elsewhere/2013-01.csv", b"id\n1\n")
    assert bucket.ids(dataset) == [1]
    fs, root = fs_of(bucket)
    other = fsspec.filesystem("s3", **fs.storage_options, skip_instance_cache=True)
    other.pipe_file(f"{root}in/2013-02.csv", b"id\n2\n")
    listed = []
    original = fs._lsdir
    monkeypatch.setattr(
        fs, "_lsdir", lambda path, *more, **named: listed.append(path) or original(path, *more, **named)
    )
    assert bucket.ids(dataset) == [1, 2]
    assert {path.removeprefix(root).strip("/") for path in listed} == {"in"}


def test_the_version_of_an_object_is_its_tag(bucket: Store) -> None:
    dataset = file("in/*.csv")
    put(bucket, "in/a.csv", b"id\n1\n")
    pin = bucket.adapter.pin(dataset, WHOLE)
    put(bucket, "in/a.csv", b"id\n1\n")
    assert bucket.adapter.pin(dataset, WHOLE).version == pin.version
    put(bucket, "in/a.csv", b"id\n2\n")
    changed = bucket.adapter.pin(dataset, WHOLE)
    assert (changed.version != pin.version, changed.token != pin.token) == (True, True)


def test_missing_objects_are_named_with_the_nearest(bucket: Store) -> None:
    put(bucket, "flights/2013-01.csv", b"id\n1\n")
    _, root = fs_of(bucket)
    for wanted, near in (("flights/2013-02.csv", "flights/2013-01.csv"), ("fligths/2013-01.csv", "flights")):
        with pytest.raises(Missing) as caught:
            bucket.adapter.pin(file(wanted), WHOLE)
        assert (caught.value.location, caught.value.near) == (f"s3://{root}{wanted}", f"s3://{root}{near}")


@pytest.mark.parametrize("name", ["a b%20ü.csv", "a.csv.gz", "#x+.parquet"])
def test_odd_names_are_names(bucket: Store, name: str) -> None:
    dataset = file(f"{{partition:%Y-%m}}/{name}", mode="replace", partition={"every": "month"})
    bucket.publish(dataset, rows("2013-01", 1), month("2013-01"))
    assert bucket.ids(dataset, month("2013-01")) == [1]


def test_the_name_of_a_folder_is_no_glob(s3_server: servers.S3Server, tmp_path: Path) -> None:
    options = Options(url=f"s3://{s3_server.bucket}/{tmp_path.name}[1]", options=settings(s3_server))
    store = Store(Files(options, tmp_path), tmp_path)
    for ending in ("parquet", "csv", "ndjson", "ipc"):
        dataset = file(f"{{partition:%Y-%m}}.{ending}", mode="replace", partition={"every": "month"})
        store.publish(dataset, rows("2013-01", 1), month("2013-01"))
        assert store.ids(dataset) == [1]


def test_excel_and_json_are_downloaded_into_the_spool(bucket: Store) -> None:
    put(bucket, "a.json", b'[{"id": 1}]')
    assert bucket.ids(file("a.json")) == [1]
    (spooled,) = (bucket.folder / "spool" / "downloads").iterdir()
    assert spooled.read_bytes() == b'[{"id": 1}]'


def test_a_store_that_refuses_is_not_a_missing_file(s3_server: servers.S3Server, tmp_path: Path) -> None:
    url = f"s3://{s3_server.bucket}/x"
    options = Options(url=url, options=settings(s3_server) | {"secret": "not-the-secret"})
    wrong = Store(Files(options, tmp_path), tmp_path)
    for ask in (lambda: wrong.adapter.pin(file("a.csv"), WHOLE), lambda: wrong.held(file("a.parquet"))):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert "cannot be reached: PermissionError: Forbidden" in str(caught.value)
        assert str(caught.value).endswith("hint: check the store's url, credentials and network, then run again")
        assert "not-the-secret" not in str(caught.value)
    with pytest.raises(PublishError, match="cannot be reached: PermissionError"):
        wrong.publish(file("a.csv"), rows("2013-01", 1))
    assert "not-the-secret" not in repr(options)


class Proxy:
    """Forwards to a server until so many bytes have gone there; from then on every connection breaks."""

    def __init__(self, server: servers.S3Server, left: int) -> None:
        host, _, port = server.endpoint.removeprefix("http://").partition(":")
        self._target, self._left = (host, int(port)), left
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, left: int) -> None:
        self._left = left

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self._left <= 0:
                    here.close()
                    continue
                there = socket.create_connection(self._target)
                for ends in ((here, there, True), (there, here, False)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                self._left -= len(data) if counted else 0
                if self._left <= 0:
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("part", [64 * 2**20, 5 * 2**20], ids=["one put", "multipart"])
def test_a_connection_cut_while_uploading_leaves_the_old_object(
    bucket: Store, s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch, capfd: Any, part: int
) -> None:
    monkeypatch.setattr(places, "_PART", part)
    dataset = file("a.parquet")
    first = bucket.publish(dataset, rows("2013-01", 1))
    proxy = Proxy(s3_server, 2**40)
    fast = {"endpoint_url": proxy.endpoint, "config_kwargs": {"retries": {"max_attempts": 1}}}
    _, root = fs_of(bucket)
    cut = Store(Files(Options(url=f"s3://{root}", options=settings(s3_server) | fast), bucket.folder), bucket.folder)
    monkeypatch.setattr(fs_of(cut)[0], "retries", 1)
    noise = pl.DataFrame({"id": random.Random(1).randbytes(12_000_000)}).with_columns(day=date(2013, 1, 1))
    publication = cut.stage(dataset, noise, fingerprint="f2", run="run2")
    proxy.cut_after(7_000_000)
    with pytest.raises(PublishError, match=r"a\.parquet cannot be published: .*\n  hint: the old file is whole"):
        cut.adapter.publish(publication)
    proxy.close()
    assert bucket.held(dataset) == Held(first.state)
    assert bucket.ids(dataset) == [1]
    assert cut.adapter.is_staged(publication.staged)
    assert "Traceback" not in capfd.readouterr().err
    # The upload's end could not be told either.
    orphans = [] if part > 6 * 2**20 else ["1 upload that never ended was aborted"]
    assert tidy(bucket, dataset) == orphans
    bucket.adapter.publish(publication)
    assert bucket.held(dataset) == Held(publication.state)


def test_text_of_several_parts_is_known_by_its_tag_too(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_PART", 5 * 2**20)
    fs, root = fs_of(bucket)
    monkeypatch.setattr(fs, "open", None)  # whoever hashes an object opens it
    frame = pl.DataFrame({"id": range(1_600_000)}).with_columns(day=date(2013, 1, 1))
    published = bucket.publish(file("a.csv"), frame)
    assert fs.info(f"{root}a.csv")["ETag"].endswith('-6"')
    assert bucket.held(file("a.csv")) == Held(published.state)


def tidy(store: Store, dataset: Dataset, *, hours: float = -1, live: Any = (), dry_run: bool = False) -> list[str]:
    assert isinstance(store.adapter, Maintainable)
    return list(store.adapter.maintain(dataset, Upkeep(frozenset(live), timedelta(hours=hours), dry_run)))


def test_maintain_aborts_old_uploads_and_removes_sidecars_without_data(bucket: Store) -> None:
    dataset = file("m/{partition:%Y-%m}.csv", mode="replace", partition={"every": "month"})
    for key in ("2013-01", "2013-02"):
        bucket.publish(dataset, rows(key, 1), month(key))
    fs, root = fs_of(bucket)
    fs.rm_file(f"{root}m/2013-02.csv")
    name, _, folder = root.partition("/")
    for key in ("m/2013-03.csv", "m/other.csv"):
        fs.call_s3("create_multipart_upload", Bucket=name, Key=f"{folder}{key}")
    assert tidy(bucket, dataset, hours=1) == []
    assert tidy(bucket, dataset, dry_run=True) == [
        "1 sidecar of files that are gone would be removed",
        "1 upload that never ended would be aborted",
    ]
    assert tidy(bucket, dataset) == [
        "1 sidecar of files that are gone was removed",
        "1 upload that never ended was aborted",
    ]
    assert tidy(bucket, dataset) == []
    assert names(bucket) == ["m/.2013-01.csv.flowpipe.json", "m/2013-01.csv"]
    left = [upload["Key"] for upload in fs.list_multipart_uploads(name) if upload["Key"].startswith(folder)]
    assert left == [f"{folder}m/other.csv"]


def test_a_store_that_grows_files_is_written_beside_and_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places.Remote(f"file://{tmp_path}/far", {})
    seen: list[str] = []
    monkeypatch.setattr(
        place.folder.fs, "put_file", lambda source, target: seen.append(target) or shutil.copy(source, target)
    )
    for content in ("old", "new"):
        written = tmp_path / "written"
        written.write_text(content)
        place.put(written, "m/a.csv")
    assert all(".flowpipe-" in path for path in seen)
    assert [(path.name, path.read_text()) for path in (tmp_path / "far" / "m").iterdir()] == [("a.csv", "new")]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Store, Path]]:
    """A store behind an HTTP server, and the folder that it serves."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            if "broken" in self.path:
                self.send_error(500)
            else:
                super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Store(Files(Options(url=f"http://127.0.0.1:{server.server_address[1]}"), tmp_path), tmp_path), folder
    server.shutdown()
    server.server_close()
    thread.join()


def test_http_is_read(served: tuple[Store, Path]) -> None:
    store, folder = served
    (folder / "in").mkdir()
    (folder / "in" / "a.csv").write_text("id\n1\n")
    (folder / "in" / "b.csv").write_text("id\n2\n")
    rows("2013-01", 3).write_parquet(folder / "c.parquet")
    assert store.ids(file("in/a.csv")) == [1]
    assert store.ids(file("in/*.csv")) == [1, 2]
    assert store.ids(file("c.parquet")) == [3]
    assert store.adapter.schema(file("c.parquet")) == {"id": pl.Int64, "day": pl.Date}
    assert not store.adapter.is_empty(file("in/a.csv"), WHOLE)
    pin = store.adapter.pin(file("in/a.csv"), WHOLE)
    assert pin.version is not None
    several = store.adapter.pin(file("in/*.csv"), WHOLE)
    os.utime(folder / "in" / "a.csv", (1, 1))
    assert store.adapter.pin(file("in/a.csv"), WHOLE).version != pin.version
    assert several.version is not None
    assert store.adapter.pin(file("in/*.csv"), WHOLE).version not in {several.version, None}


def test_no_listing_is_remembered_even_where_it_was_asked_for(served: tuple[Store, Path]) -> None:
    store, folder = served
    assert isinstance(store.adapter, Files)
    options = Options(url=store.adapter._url, options={"use_listings_cache": True})
    asked = Store(Files(options, store.folder), store.folder)
    for number in (1, 2):
        (folder / f"{number}.csv").write_text(f"id\n{number}\n")
        assert asked.ids(file("*.csv")) == [*range(1, number + 1)]


def test_http_is_never_written(served: tuple[Store, Path]) -> None:
    store, _ = served
    assert list(store.adapter.check(file("a.csv"), written=False)) == []
    assert list(store.adapter.check(file("a.csv"), written=True)) == [
        (
            ("store",),
            '"http://" is only read: its servers take no files',
            "write it into another store: a folder, s3://, or any other url that can be written",
        )
    ]


def test_an_http_server_that_fails_is_not_a_missing_file(served: tuple[Store, Path]) -> None:
    store, _ = served
    with pytest.raises(Missing) as caught:
        store.adapter.pin(file("zzz.csv"), WHOLE)
    assert caught.value.location.endswith("/zzz.csv")
    with pytest.raises(Unreachable, match=r"/broken\.csv cannot be reached: ClientResponseError: 500"):
        store.adapter.pin(file("broken.csv"), WHOLE)
    (port,) = servers.free_ports(1)
    down = Files(Options(url=f"http://127.0.0.1:{port}"), Path())
    with pytest.raises(Unreachable, match=r"/a\.csv cannot be reached: ClientConnector"):
        down.pin(file("a.csv"), WHOLE)


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("s4://x", 'unknown kind of url "s4://"', 'did you mean "s3://"?'),
        ("gs://x", '"gs://" urls need gcsfs, which is not installed', "pip install gcsfs"),
        ("sftp://host/x", '"sftp://" urls need paramiko, which is not installed', "pip install paramiko"),
        ("s3://x", '"s3://" urls need s3fs, which is not installed', 'pip install "flowpipe-etl[s3]"'),
    ],
)
def test_a_url_that_cannot_be_opened_is_said(monkeypatch: Any, url: str, message: str, hint: str) -> None:
    if url.startswith("s3"):
        monkeypatch.setattr(urls, "find_spec", lambda name: None)
    with pytest.raises(MalformedError) as caught:
        urls.refuse_unknown(url)
    assert (str(caught.value), caught.value.hint[: len(hint)]) == (message, hint)


def test_a_password_in_a_url_is_never_shown() -> None:
    assert (
        Folder("sftp://me:hunter2@host/x", {}, "sftp://me:hunter2@host/x").shown("a.csv")
        == "sftp://me:***@host/x/a.csv"
    )
