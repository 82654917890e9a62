"""Files: every format, which paths a dataset reads, and a target that is never torn, whatever dies."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from openpyxl import Workbook
from polars.testing import assert_frame_equal

from flowpipe.adapters import Dataset, Held, Missing, Publication
from flowpipe.adapters.abilities import Maintainable, Upkeep
from flowpipe.adapters.files import Files, Options
from flowpipe.datasets import DatasetConfig
from flowpipe.errors import DataError, PublishError
from flowpipe.partition import WHOLE, of_key, of_window, parse
from flowpipe.testing.suite import TYPES, AdapterSuite, Store, month, rows, state

TEXT_TYPES = TYPES.drop("list", "struct")
MONTHS = "m/{partition:%Y-%m}.parquet"


def file(path: str, name: str = "delays", **config: Any) -> Dataset:
    return Dataset(name, DatasetConfig(store="landing", path=path, **config))


def monthly(path: str = MONTHS, **config: Any) -> Dataset:
    return file(path, **{"mode": "replace", "partition": {"every": "month"}} | config)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Files(Options(url="data/in"), tmp_path), tmp_path)


def at(store: Store, path: str) -> Path:
    target = store.folder / "data" / "in" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


class FilesSuite(AdapterSuite):
    modes = ("overwrite", "replace", "append")
    ending = "parquet"
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(Files(Options(url="data/in"), tmp_path), tmp_path)

    def dataset(self, name: str = "delays", **config: Any) -> Dataset:
        path = f"{name}/{{partition:%Y-%m}}.{self.ending}" if "partition" in config else f"{name}.{self.ending}"
        return file(path, name, **{"options": self.options} | config)

    def remove_a_row(self, store: Store, dataset: Dataset) -> None:
        target = at(store, f"delays.{self.ending}")
        frame = store.read(dataset).filter(pl.col("id") != 1)
        target.write_bytes(b"")
        if self.ending == "parquet":
            frame.write_parquet(target)
        else:
            getattr(frame, f"write_{self.ending}")(target)

    def drop(self, store: Store, dataset: Dataset) -> None:
        at(store, f"delays.{self.ending}").unlink()

    def _own(self, config: DatasetConfig, mode: str) -> DatasetConfig:
        return config.model_copy(update={"path": f"{mode}/{config.path}"})


class TestParquet(FilesSuite):
    changed = "the file was replaced"

    def _held_when_gone(self) -> Held:
        return Held()  # the state was in the file


class TestCSV(FilesSuite):
    ending = "csv"
    changed = "the file was changed by somebody else"
    gone = "the file is gone"
    types = TEXT_TYPES
    options: ClassVar[dict[str, Any]] = {
        "schema_overrides": {
            "id": "Int64", "day": "Date", "small": "Int16", "money": "Decimal(10, 2)", "flag": "Boolean",
            "at": "Datetime(us)", "instant": "Datetime(us, UTC)",
        }
    }  # fmt: skip


class TestNDJSON(FilesSuite):
    ending = "ndjson"
    changed = "the file was changed by somebody else"
    gone = "the file is gone"
    options: ClassVar[dict[str, Any]] = {"schema_overrides": {"day": "Date", "id": "Int64"}}
    types = TYPES.select("flag", "whole", "real", "text", "day", "list", "struct", id=pl.lit(1, pl.Int64))


class TestJSON(TestNDJSON):
    ending = "json"


class TestIPC(FilesSuite):
    ending = "ipc"
    changed = "the file was changed by somebody else"
    gone = "the file is gone"


def test_a_partitioned_file_under_overwrite_is_replaced_window_by_window(store: Store) -> None:
    dataset = monthly(mode="overwrite")
    assert list(store.adapter.check(dataset, written=True)) == []
    for key in ("2013-01", "2013-02"):
        store.publish(dataset, rows(key, 1), month(key))
    assert sorted(path.name for path in at(store, "m").iterdir()) == ["2013-01.parquet", "2013-02.parquet"]


def test_append_into_a_folder_adds_one_file_per_slice(store: Store) -> None:
    dataset = file("log/", mode="append", format="csv", partition={"every": "month"})
    assert list(store.adapter.check(dataset, written=True)) == []
    for key in ("2013-01", "2013-02"):
        store.publish(dataset, rows(key, 1), month(key))
    store.publish(dataset, rows("2013-02", 2), month("2013-02"), run="run2")
    names = sorted(path.name for path in at(store, "log").iterdir() if not path.name.startswith("."))
    assert names == ["2013-01.csv", "2013-02.csv"]
    assert store.ids(dataset) == [1, 2]


def test_rejected_rows_are_files_by_key(store: Store) -> None:
    dataset = file("delays__rejected/{partition}.parquet", "delays__rejected", mode="replace")
    for key in ("2013-01", "a/../b"):
        store.publish(dataset, rows("2013-01", len(key)), of_key(key))
    assert sorted(path.name for path in at(store, "delays__rejected").iterdir()) == [
        "2013-01.parquet",
        "a%2F..%2Fb.parquet",
    ]
    assert store.ids(dataset, of_key("a/../b")) == [6]
    assert store.ids(dataset) == [6, 7]
    assert store.held(dataset, of_key("a/../b")).changed is None


def test_only_files_of_the_template_are_read(store: Store) -> None:
    dataset = monthly()
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    store.stage(dataset, rows("2013-02", 9), month("2013-02"), run="dead")
    for name in ("old.parquet", "2013-1.parquet", "2013-13.parquet", ".2013-03.parquet", "2013-04.parquet.flowpipe-x"):
        at(store, f"m/{name}").write_bytes(b"not for reading")
    assert store.ids(dataset) == [1]
    assert store.ids(file("m/2013-0[1-9].parquet")) == [1]
    at(store, "m/.hidden").mkdir()
    at(store, "m/.hidden/2013-05.csv").write_text("id\n7\n")
    at(store, "m/2013-05.csv").write_text("id\n5\n")
    assert store.ids(file("**/*.csv")) == [5]


def test_folders_in_the_partition_are_found(store: Store) -> None:
    dataset = monthly("y/{partition:%Y}/{partition:%m}.parquet")
    for key in ("2012-12", "2013-01"):
        store.publish(dataset, rows(key, int(key[-2:])), month(key))
    assert store.ids(dataset) == [1, 12]
    assert store.ids(monthly("y/{partition:%Y/%m}.parquet")) == [1, 12]


def test_a_longer_window_reads_the_files_within_and_a_shorter_one_is_cut(store: Store) -> None:
    for key in ("2012-12", "2013-01", "2013-02"):
        frame = rows(key, 1, 2).with_columns(
            day=pl.Series([date.fromisoformat(f"{key}-{day}") for day in ("01", "20")])
        )
        store.publish(monthly(), frame.with_columns(id=pl.col("day").dt.ordinal_day().cast(pl.Int64)), month(key))
    dataset = monthly(partition={"every": "month", "column": "day"})
    day = of_window(parse("2013-01-20", "day"))
    assert store.ids(dataset, day) == [20]
    assert store.ids(monthly(), day) == [1, 20]
    assert store.adapter.is_empty(dataset, of_window(parse("2013-01-21", "day")))
    with pytest.raises(Missing) as caught:
        store.adapter.pin(dataset, of_window(parse("2013", "year")))
    assert (caught.value.location, caught.value.near) == ("data/in/m/2013-03.parquet", "data/in/m/2013-02.parquet")
    berlin = of_window(parse("2013-02", "month", "Europe/Berlin"))
    assert store.ids(dataset, berlin) == [32, 51]


def test_one_file_is_read_by_window_where_a_column_tells(store: Store) -> None:
    store.publish(file("all.parquet"), pl.concat([rows("2013-01", 1), rows("2013-02", 2)]))
    dataset = file("all.parquet", partition={"every": "month", "column": "day"})
    assert store.ids(dataset, month("2013-02")) == [2]
    at(store, "all.csv").write_text("id,day\n1,2013-01-01\n2,2013-02-01\n")
    text = file("all.csv", partition={"every": "month", "column": "day"})
    with pytest.raises(DataError) as caught:
        store.read(text, month("2013-02"))
    assert str(caught.value) == (
        "delays: column day is String; a window needs a Date or Datetime\n"
        "  hint: text holds no dates: set `options: {try_parse_dates: true}` or `schema_overrides:`"
    )
    dated = file("all.csv", partition={"every": "month", "column": "day"}, options={"try_parse_dates": True})
    assert store.ids(dated, month("2013-02")) == [2]
    with pytest.raises(DataError) as caught:
        store.read(file("all.csv", partition={"every": "month", "column": "dya"}), month("2013-02"))
    assert str(caught.value) == 'there is no partition column "dya" in delays'


@pytest.mark.parametrize(
    ("wanted", "location", "near"),
    [
        ("flights/2013-02.csv", "data/in/flights/2013-02.csv", "data/in/flights/2013-01.csv"),
        ("fligths/2013-01.csv", "data/in/fligths/2013-01.csv", "data/in/flights"),
        ("flights/2014*.csv", "data/in/flights/2014*.csv", "data/in/flights/2013-01.csv"),
        ("zzz.csv", "data/in/zzz.csv", None),
    ],
)
def test_missing_files_are_named_with_the_nearest(store: Store, wanted: str, location: str, near: str | None) -> None:
    at(store, "flights/2013-01.csv").write_text("id\n1\n")
    at(store, "flights/.2013-02.csv").write_text("id\n1\n")
    with pytest.raises(Missing) as caught:
        store.adapter.pin(file(wanted), WHOLE)
    assert (caught.value.location, caught.value.near) == (location, near)


def test_a_folder_that_is_not_there_is_missing_too(store: Store) -> None:
    with pytest.raises(Missing) as caught:
        store.adapter.pin(file("a/b.csv"), WHOLE)
    assert (caught.value.location, caught.value.near) == ("data/in/a/b.csv", None)


def test_a_read_is_held_to_the_pinned_files(store: Store) -> None:
    dataset = file("in/*.csv")
    at(store, "in/a.csv").write_text("id\n1\n")
    pin = store.adapter.pin(dataset, WHOLE)
    assert pin == store.adapter.pin(dataset, WHOLE)
    at(store, "in/b.csv").write_text("id\n2\n")
    assert store.adapter.read(dataset, WHOLE, pin, store.folder).collect()["id"].to_list() == [1]
    later = store.adapter.pin(dataset, WHOLE)
    assert (later.token != pin.token, later.version != pin.version) == (True, True)
    os.utime(at(store, "in/b.csv"), ns=(1, 1))
    assert store.adapter.pin(dataset, WHOLE).version != later.version


def test_the_version_of_what_was_published_is_its_publish_not_its_file(store: Store) -> None:
    for name in ("a.parquet", "a.csv"):
        dataset = file(name)
        store.publish(dataset, rows("2013-01", 1), fingerprint="f7")
        pin = store.adapter.pin(dataset, WHOLE)
        os.utime(at(store, name), ns=(1, 1))
        assert store.adapter.pin(dataset, WHOLE).version == pin.version
        store.publish(dataset, rows("2013-01", 1), fingerprint="f7", run="run2")
        again = store.adapter.pin(dataset, WHOLE)
        assert (again.version != pin.version, again.token != pin.token) == (True, True)


def test_the_state_of_a_parquet_file_is_in_the_file(store: Store) -> None:
    dataset = monthly()
    store.publish(dataset, rows("2013-01", 1, 2), month("2013-01"))
    january, february = at(store, "m/2013-01.parquet"), at(store, "m/2013-02.parquet")
    assert sorted(path.name for path in january.parent.iterdir()) == ["2013-01.parquet"]
    shutil.copy(january, february)
    assert store.held(dataset, month("2013-02")) == Held(None, "the file was replaced")
    february.write_bytes(january.read_bytes()[:-20])
    assert store.held(dataset, month("2013-02")) == Held(None, "the file was replaced")
    shutil.move(store.folder / "data" / "in", store.folder / "moved")
    moved = Store(Files(Options(url="moved"), store.folder), store.folder)
    assert moved.held(dataset, month("2013-01")).state == state("delays", month("2013-01"), 2)


def test_a_torn_sidecar_means_never_published(store: Store) -> None:
    store.publish(file("a.csv"), rows("2013-01", 1))
    sidecar = at(store, ".a.csv.flowpipe.json")
    for text in ("", "{", "[]", '{"sha256": "x", "state": {"rows": 1}}', '{"state": {}}'):
        sidecar.write_text(text)
        assert store.held(file("a.csv")) == Held()


def redo(store: Store, publication: Publication, ids: list[int]) -> None:
    """Publish twice more and look."""
    for _ in range(2):
        store.adapter.publish(publication)
        assert store.ids(publication.dataset) == ids
        assert store.held(publication.dataset) == Held(publication.state)
    leftovers = [path.name for path in (store.folder / "data" / "in").iterdir() if ".flowpipe-" in path.name]
    assert leftovers == []


def test_a_crash_after_the_rename_is_told_by_the_file_itself(store: Store) -> None:
    dataset = file("a.parquet")
    store.publish(dataset, rows("2013-01", 1))
    publication = store.stage(dataset, rows("2013-01", 2, 3), fingerprint="f2", run="run2")
    staged = Path(publication.staged.files[0].path)
    assert staged == at(store, "a.parquet.flowpipe-run2")
    staged.replace(at(store, "a.parquet"))
    redo(store, publication, [2, 3])


def test_a_crash_between_file_and_sidecar_is_repaired(store: Store) -> None:
    dataset = file("a.csv")
    store.publish(dataset, rows("2013-01", 1))
    old = at(store, ".a.csv.flowpipe.json").read_text()
    publication = store.publish(dataset, rows("2013-01", 2, 3), fingerprint="f2", run="run2")
    at(store, ".a.csv.flowpipe.json").write_text(old)
    assert store.held(dataset).changed == "the file was changed by somebody else"
    at(store, ".a.csv.flowpipe.json.flowpipe-run2").write_text("{")
    at(store, "a.csv.flowpipe-run2").write_text("id,da")
    redo(store, publication, [2, 3])


def test_a_staged_file_that_is_gone_is_said(store: Store) -> None:
    for path in ("a.parquet", "a.csv"):
        publication = store.stage(file(path), rows("2013-01", 1))
        store.adapter.discard(publication.staged)
        with pytest.raises(PublishError) as caught:
            store.adapter.publish(publication)
        assert str(caught.value) == (
            f"data/in/{path} cannot be published: its staged file is gone\n  hint: run with --force"
        )


def test_a_staged_file_that_lost_its_end_is_not_staged(store: Store) -> None:
    publication = store.stage(file("a.parquet"), rows("2013-01", 1))
    assert store.adapter.is_staged(publication.staged)
    staged = Path(publication.staged.files[0].path)
    staged.write_bytes(staged.read_bytes()[:-1])
    assert not store.adapter.is_staged(publication.staged)
    with pytest.raises(PublishError, match="its staged file is gone"):
        store.adapter.publish(publication)


FULL_DISK = """
import pickle, resource, signal, sys
from pathlib import Path
from flowpipe.adapters.files import Files, Options
from flowpipe.errors import PublishError
publication = pickle.loads(Path(sys.argv[2]).read_bytes())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    Files(Options(url="data/in"), Path(sys.argv[1])).publish(publication)
except PublishError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["csv", "ndjson", "json", "ipc"])
def test_a_full_disk_keeps_the_old_file_and_leaves_nothing(store: Store, ending: str) -> None:
    import pickle

    dataset = file(f"a.{ending}", options={} if ending == "ipc" else {"schema_overrides": {"day": "Date"}})
    first = store.publish(dataset, rows("2013-01", 1))
    publication = store.stage(dataset, rows("2013-01", *range(5000)), fingerprint="f2", run="run2")
    (store.folder / "publication").write_bytes(pickle.dumps(publication))
    command = [sys.executable, "-c", FULL_DISK, str(store.folder), str(store.folder / "publication")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"data/in/a.{ending} cannot be published: ")
    assert done.stdout.endswith("\n  hint: the old file is whole\n")
    assert store.held(dataset) == Held(first.state)
    assert store.ids(dataset) == [1]
    assert [path.name for path in at(store, "a").parent.iterdir() if ".flowpipe-" in path.name] == []
    store.adapter.publish(publication)
    assert len(store.ids(dataset)) == 5000


KILLED = FULL_DISK.replace("signal.signal(signal.SIGXFSZ, signal.SIG_IGN)", "").replace(
    "try:", "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\ntry:"
)


def test_a_process_killed_while_it_writes_leaves_the_old_file(store: Store) -> None:
    import pickle

    dataset = file("a.csv")
    first = store.publish(dataset, rows("2013-01", 1))
    publication = store.stage(dataset, rows("2013-01", *range(5000)), fingerprint="f2", run="run2")
    (store.folder / "publication").write_bytes(pickle.dumps(publication))
    killed = KILLED.replace(
        "import pickle,", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nimport pickle,"
    )
    command = [sys.executable, "-c", killed, str(store.folder), str(store.folder / "publication")]
    assert (
        subprocess.run(command, capture_output=True, check=False).returncode == -25
    )  # SIGXFSZ, in the middle of a write
    assert at(store, "a.csv.flowpipe-run2").exists()
    assert store.held(dataset) == Held(first.state)
    redo(store, publication, list(range(5000)))


def test_csv_options_of_the_reader_and_of_the_writer(store: Store) -> None:
    dataset = file("a.csv", options={"separator": ";", "null_value": "NA", "null_values": "NA"})
    assert list(store.adapter.check(dataset, written=True)) == []
    store.publish(dataset, pl.DataFrame({"a": [1, None], "b": ["x", "y"]}))
    assert at(store, "a.csv").read_text() == "a;b\n1;x\nNA;y\n"
    assert store.read(dataset).rows() == [(1, "x"), (None, "y")]


def test_compressed_csv_is_read_and_written(store: Store) -> None:
    dataset = file("a.csv.gz")
    with gzip.open(at(store, "a.csv.gz"), "wt") as out:
        out.write("id\n1\n")
    assert store.ids(dataset) == [1]
    store.publish(dataset, rows("2013-01", 2))
    assert gzip.decompress(at(store, "a.csv.gz").read_bytes()) == b"id,day\n2,2013-01-01\n"


def test_a_wrong_guess_of_a_type_is_an_error_and_never_a_null(store: Store) -> None:
    lines = ["1"] * 20_000 + ["x"]
    at(store, "a.csv").write_text("\n".join(["id", *lines]))
    with pytest.raises(pl.exceptions.ComputeError, match="could not parse `x` as dtype `i64`"):
        store.read(file("a.csv"))
    assert store.read(file("a.csv", options={"schema_overrides": {"id": "String"}}))["id"].null_count() == 0
    at(store, "b.csv").write_text("\n".join(["id", *lines[-9000:]]))
    assert store.read(file("b.csv"))["id"].dtype == pl.String
    at(store, "a.ndjson").write_text("\n".join(['{"id":1}'] * 20_000 + ['{"id":1,"b":2}']))
    assert store.read(file("a.ndjson"))["b"].to_list()[-1] == 2
    at(store, "b.ndjson").write_text('{"id":"x","c":3}')
    assert store.read(file("[ab].ndjson")).tail(1).rows() == [("x", None, 3)]
    at(store, "a.json").write_text(json.dumps([{"id": 1}] * 20_000 + [{"id": "x"}]))
    assert store.read(file("a.json"))["id"].to_list()[-1] == "x"


def test_many_csv_files_agree_on_types(store: Store) -> None:
    for number in range(12):
        at(store, f"in/{number:02}.csv").write_text(f"id\n{number}\n" if number < 11 else "id\nx\n")
    assert store.read(file("in/*.csv"))["id"].to_list() == [*map(str, range(11)), "x"]


def test_excel_is_read_whole(store: Store) -> None:
    book = Workbook()
    for row in (["id", "name"], *([number, None] for number in range(1500)), ["x", 7]):
        book.active.append(row)
    book.save(at(store, "a.xlsx"))
    frame = store.read(file("a.xlsx"))
    assert frame.tail(1).rows() == [("x", 7)]
    assert frame["id"].null_count() == 0


def test_a_missing_excel_library_is_named(store: Store) -> None:
    Workbook().save(at(store, "a.xlsx"))
    script = (
        "import sys; sys.modules['fastexcel'] = None\n"
        "from pathlib import Path; from flowpipe.adapters import Dataset\n"
        "from flowpipe.adapters.files import Files, Options\n"
        "from flowpipe.config import DatasetConfig; from flowpipe.partition import WHOLE\n"
        "store = Files(Options(url='data/in'), Path(sys.argv[1])); sheet = DatasetConfig(store='s', path='a.xlsx')\n"
        "try: store.read(Dataset('sheet', sheet), WHOLE, store.pin(Dataset('sheet', sheet), WHOLE), Path())\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store.folder)], capture_output=True, text=True, check=True)
    first, hint = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert first.startswith("DataError sheet needs a library: ")
    assert hint == "  hint: pip install fastexcel"


def test_names_with_glob_characters_are_names(tmp_path: Path) -> None:
    store = Store(Files(Options(url="data[1]"), tmp_path), tmp_path)
    for ending in ("parquet", "csv", "ndjson", "ipc"):
        dataset = file(f"{{partition:%Y-%m}}.{ending}", partition={"every": "month"})
        store.publish(dataset, rows("2013-01", 1), month("2013-01"))
        assert store.ids(dataset) == [1]


@pytest.mark.parametrize(
    ("path", "dtype", "message"),
    [
        ("a.csv", pl.List(pl.Int64), 'column "c" is List(Int64), which csv cannot hold'),
        ("a.csv", pl.Duration("us"), "column \"c\" is Duration(time_unit='us'), which csv cannot hold"),
        ("a.json", pl.Struct({"x": pl.Binary}), "column \"c\" is Struct({'x': Binary}), which json cannot hold"),
    ],
)
def test_types_that_a_format_lacks_are_refused(store: Store, path: str, dtype: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Files(Options(url="x"), store.folder).storable(file(path), {"c": dtype})
    assert str(caught.value) == f"{message}\n  hint: cast the column, or write Parquet"


def test_types_that_parquet_lacks_are_refused(store: Store) -> None:
    with pytest.raises(DataError) as caught:
        store.adapter.storable(file("a.parquet"), {"c": pl.List(pl.Struct([]))})
    assert str(caught.value) == 'column "c" is List(Struct({})), which parquet cannot hold\n  hint: cast the column'


def test_all_other_types_come_back_from_parquet(store: Store) -> None:
    frame = pl.DataFrame(
        {
            "big": pl.Series([2**126], dtype=pl.Int128),
            "category": pl.Series(["a"], dtype=pl.Categorical),
            "enum": pl.Series(["a"], dtype=pl.Enum(["b", "a"])),
            "span": [timedelta(days=1)],
            "array": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
            "nano": pl.Series([datetime(2013, 1, 1)]).cast(pl.Datetime("ns")),
            "null": [None],
        }
    )
    store.publish(file("a.parquet"), frame)
    assert_frame_equal(store.read(file("a.parquet")), frame)


PATHS = "write {partition:%Y-%m} into the path"
PROBLEMS: list[tuple[dict[str, Any], bool, list[tuple[tuple[str, ...], str, str | None]]]] = [
    ({}, False, [((), "a dataset in a files store needs a path", "path: airlines.csv")]),
    (
        {"path": "a.csv", "table": "t", "query": "q", "partition_by": ["d"]},
        False,
        [
            ((name,), f'a dataset in a files store has no "{name}"', "write `path:`, below the store's url")
            for name in ("table", "query", "partition_by")
        ],
    ),
    (
        {"path": "a.txt"},
        False,
        [(("path",), 'the ending of "a.txt" tells no format', "write `format: parquet`, or another ending")],
    ),
    (
        {"path": "a", "format": "parket"},
        False,
        [
            (
                ("format",),
                'unknown format "parket"',
                'did you mean "parquet"?',
            )
        ],
    ),
    (
        {"path": "a.csv", "partition": {"every": "month"}},
        False,
        [
            (
                ("partition",),
                "neither the path nor a column tells a row's window",
                "write {partition:%Y-%m} into the path, or name the `column:` that tells a row's window",
            )
        ],
    ),
    (
        {"path": "a.csv", "mode": "merge"},
        True,
        [
            (
                ("mode",),
                "files are replaced whole, so rows cannot be merged into them",
                "use `mode: replace` with a partition, or a delta, duckdb or postgres store",
            )
        ],
    ),
    (
        {"path": "a.csv", "mode": "snapshot", "key": ["id"]},
        True,
        [
            (
                ("mode",),
                "files are replaced whole, so they keep no versions of their rows",
                "use a delta, duckdb or postgres store",
            )
        ],
    ),
    (
        {"path": "a.csv", "schema_change": "add", "swap": True, "after_publish": "ANALYZE"},
        True,
        [
            (
                ("schema_change",),
                "one file is replaced whole, so no column is added to those that are there",
                "use `schema_change: replace`, or one file per window",
            ),
            (("swap",), "a file always takes the place of the old one", "remove it"),
            (
                ("after_publish",),
                "a store of files runs no SQL",
                "remove it, or use a delta, duckdb or postgres store",
            ),
        ],
    ),
    (
        {"path": "a.csv", "mode": "append"},
        True,
        [
            (
                ("mode",),
                "nothing can be appended to one file; append adds one file per slice",
                'end the path in "/" and write `format:`, or write {partition} into it',
            )
        ],
    ),
    ({"path": "a.csv", "mode": "replace"}, True, [(("path",), "`mode: replace` needs one file per window", PATHS)]),
    (
        {"path": "{partition}.csv"},
        True,
        [
            (
                ("path",),
                "the path names a partition, the dataset has none",
                "write `partition: {every: month}`",
            )
        ],
    ),
    (
        {"path": "{partition:%m}.csv", "mode": "replace", "partition": {"every": "month"}},
        True,
        [
            (
                ("path",),
                '"{partition:%m}.csv" gives the same file to different windows',
                "write {partition:%Y-%m} into it",
            )
        ],
    ),
    ({"path": "*.csv"}, True, [(("path",), '"*.csv" is a glob, which names no one file to write', "write one path")]),
    ({"path": "a.xlsx"}, True, [(("format",), "excel is only read", "write csv or parquet")]),
    (
        {"path": "a.csv", "options": {"seperator": ";"}},
        False,
        [(("options", "seperator"), 'unknown csv option "seperator"', 'did you mean "separator"?')],
    ),
    (
        {"path": "a.csv", "options": {"schema_overrides": {"a": "Int46"}}},
        False,
        [(("options", "schema_overrides", "a"), 'unknown type "Int46"', 'did you mean "Int64"?')],
    ),
    (
        {"path": "a.csv", "options": {"schema_overrides": "Int64"}},
        False,
        [(("options", "schema_overrides"), "schema_overrides must be a mapping of columns to types", "{year: Int64}")],
    ),
    (
        {"path": "a.csv", "options": {"source": "/etc/passwd"}},
        False,
        [
            (
                ("options", "source"),
                'unknown csv option "source"',
                None,
            )
        ],
    ),
    (
        {"path": "a.parquet", "options": {"compression": "zstd"}},
        True,
        [(("options", "compression"), 'unknown parquet option "compression"', None)],
    ),
]


@pytest.mark.parametrize(("config", "written", "problems"), PROBLEMS)
def test_a_wrong_configuration_is_said(store: Store, config: Any, written: bool, problems: Any) -> None:
    dataset = Dataset("delays", DatasetConfig(store="landing", **config))
    found = list(store.adapter.check(dataset, written=written))
    # Which options and types there are is Polars' business: of its lists only the nearest name counts.
    short = [
        (path, text, (hint or "").split(" known: ")[0] if "unknown" in text else hint) for path, text, hint in found
    ]
    assert [
        (path, text, None if (hint or "").startswith("known: ") else hint) for path, text, hint in short
    ] == problems


def test_a_url_may_be_absolute(tmp_path: Path) -> None:
    absolute = Store(Files(Options(url=f"file://{tmp_path}/x"), Path("/nowhere")), tmp_path)
    absolute.publish(file("a.csv"), rows("2013-01", 1))
    assert (tmp_path / "x" / "a.csv").exists()


def test_a_lost_staging_file_of_a_dead_run_does_not_hinder_the_next(store: Store) -> None:
    dataset = file("a.parquet")
    store.stage(dataset, rows("2013-01", 9), run="dead")
    publication = store.publish(dataset, rows("2013-01", 1))
    assert store.ids(dataset) == [1]
    assert store.held(dataset) == Held(dataclasses.replace(publication.state))


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_power_cut_finds_the_old_file_or_the_new_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def replaced(source: Any, target: Any) -> None:
        done.append(f"rename {Path(source).name} {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    names = [f"a.{ending}"] if ending == "parquet" else ["a.csv", ".a.csv.flowpipe.json"]
    store.publish(file(f"a.{ending}"), rows("2013-01", 1))
    assert done == [
        line
        for name in names
        for line in (f"fsync {name}.flowpipe-run1", f"rename {name}.flowpipe-run1 {name}", "fsync in")
    ]
    done.clear()
    quick = Store(Files(Options(url="data/in", durability="none"), store.folder), store.folder)
    quick.publish(file(f"a.{ending}"), rows("2013-01", 1), run="run2")
    assert done == [f"rename {name}.flowpipe-run2 {name}" for name in names]


def test_maintain_removes_what_dead_runs_left_and_nothing_else(store: Store) -> None:
    dataset = monthly("m/{partition:%Y-%m}.csv")
    store.publish(dataset, rows("2013-01", 1), month("2013-01"))
    left = ["2013-01.csv.flowpipe-dead", ".2013-01.csv.flowpipe.json.flowpipe-dead", ".2013-02.csv.flowpipe.json"]
    other = ["2013-01.csv.bak", "notes.csv.flowpipe-dead", ".notes.csv.flowpipe.json", "2013-03.csv.flowpipe-live"]
    for name in (*left, *other):
        at(store, f"m/{name}").write_text("{")
    live = frozenset({str(at(store, "m/2013-03.csv.flowpipe-live"))})
    assert isinstance(store.adapter, Maintainable)
    assert store.adapter.maintain(dataset, Upkeep(live, timedelta(hours=1))) == []
    told = ["2 staged files of dead runs {} removed", "1 sidecar of files that are gone {} removed"]
    dry = store.adapter.maintain(dataset, Upkeep(live, timedelta(hours=-1), dry_run=True))
    assert dry == [line.format("would be") for line in told]
    done = store.adapter.maintain(dataset, Upkeep(live, timedelta(hours=-1)))
    assert done == [told[0].format("were"), told[1].format("was")]
    assert sorted(path.name for path in at(store, "m").iterdir()) == sorted(
        [*other, "2013-01.csv", ".2013-01.csv.flowpipe.json"]
    )
    assert store.ids(dataset) == [1]
    assert store.adapter.maintain(file("nowhere.csv"), Upkeep(live, timedelta(0))) == []


def test_columns_that_were_added_later_are_null_in_older_windows(store: Store) -> None:
    for ending in ("parquet", "csv", "ipc", "ndjson"):
        dataset = monthly(f"{ending}/{{partition:%Y-%m}}.{ending}", schema_change="add")
        assert list(store.adapter.check(dataset, written=True)) == []
        store.publish(dataset, rows("2013-01", 1), month("2013-01"))
        store.publish(dataset, rows("2013-02", 2).with_columns(late=pl.lit("x")), month("2013-02"))
        assert store.read(dataset).rows() == [(1, date(2013, 1, 1), None), (2, date(2013, 2, 1), "x")]


def test_text_comes_back_in_the_types_it_was_published_with(store: Store) -> None:
    frame = pl.DataFrame({"code": ["01", "02"], 'q"x': pl.Series([1, 2], dtype=pl.UInt8)})
    store.publish(file("a.csv"), frame)
    assert_frame_equal(store.read(file("a.csv")), frame)
    told = file("a.csv", options={"schema_overrides": {"code": "Int16"}})
    assert store.read(told).rows() == [(1, 1), (2, 2)]
    assert store.read(told).schema == {"code": pl.Int16, 'q"x': pl.Int64}
    at(store, "a.csv").write_text('code,"q""x"\n01,2\n')
    assert store.read(file("a.csv")).to_dicts() == [{"code": 1, 'q"x': 2}]


def test_what_json_has_no_text_for_is_refused(store: Store) -> None:
    frame = pl.DataFrame({"x": [1.5, float("nan")], "y": [[{"z": float("inf")}], None], "w": [1.0, None]})
    for ending in ("json", "ndjson"):
        with pytest.raises(DataError) as caught:
            store.publish(file(f"a.{ending}"), frame)
        assert str(caught.value).splitlines() == [
            line
            for name in ("x", "y")
            for line in (
                f'dataset delays: column "{name}" holds NaN or infinite numbers, which {ending} has no text for',
                "  hint: make them NULL or convert them in the node, or write Parquet",
            )
        ]
        assert store.held(file(f"a.{ending}")) == Held()


def test_a_torn_json_file_is_not_an_empty_one(store: Store) -> None:
    at(store, "a.json").write_text("[")
    with pytest.raises(pl.exceptions.ComputeError):
        store.read(file("a.json"))
    at(store, "a.json").write_text("[]")
    assert store.read(file("a.json")).is_empty()


def test_a_time_of_the_sun_is_refused_as_text(store: Store) -> None:
    frame = pl.DataFrame({"at": pl.Series([datetime(1800, 1, 1)]).dt.replace_time_zone("Europe/Berlin")})
    with pytest.raises(
        DataError, match='"at" holds times when Europe/Berlin was not whole minutes from UTC, which csv'
    ):
        store.publish(file("a.csv"), frame)


def test_a_date_that_no_calendar_has_is_told(store: Store) -> None:
    frame = pl.DataFrame({"day": pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date)})
    with pytest.raises(DataError, match=r"dataset delays cannot be written as csv: .*out-of-range date"):
        store.publish(file("a.csv"), frame)


def test_the_fields_of_json_come_in_the_order_of_the_first_record(store: Store) -> None:
    fields = [f"c{number}" for number in range(40)]
    first, second = (dict.fromkeys(names, 1) for names in (fields, ["z", *fields[::-1]]))
    at(store, "a.ndjson").write_text("\n".join(map(json.dumps, (first, second))))
    at(store, "b.ndjson").write_text(json.dumps(second))
    at(store, "a.json").write_text(json.dumps([first, second]))
    for path in ("a.ndjson", "a.json", "*.ndjson"):
        assert store.read(file(path)).columns == [*fields, "z"]
