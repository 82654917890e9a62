"""The configuration of a project: its files merged, checked all at once, and told in place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flowpipe.config import Configuration, validate_options
from flowpipe.errors import ConfigError, Where, redact
from flowpipe.fields import duration
from flowpipe.loading import load
from flowpipe.validation import Model

Make = Callable[[Mapping[str, str]], Path]
DEMO = {
    "project.yml": "name: demo\n",
    "catalog.yml": "flights: {store: landing, path: flights.csv}\n",
    "profiles/dev.yml": "stores:\n  landing: {adapter: files, url: data}\n",
    "pipelines/delays.yml": "modules: [delays]\nwrites: [delays]\nparams:\n  late: 15\n",
}


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in {**DEMO, **files}.items():
        path = root / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda files: write(tmp_path, files)


def problems(root: Path, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(root, **options)
    return [str(problem) for problem in caught.value.problems]


def test_a_project_becomes_one_configuration(make: Make) -> None:
    root = make(
        {
            "project.yml": "name: demo\ntimezone: Europe/Berlin\n",
            "catalog.yml": "flights: {store: landing, path: '{partition}.csv', partition: {every: month}}\n"
            "old: {store: landing, path: x.csv, partition: {every: day, timezone: UTC}, schema: 'schemas:Old'}\n",
            "pipelines/delays.yml": "modules: [delays]\nwrites: {node: delays}\n"
            "reads: {a: flights, b: {dataset: old, trigger: false}}\n"
            "partitions: {every: year, start: 2013, end: '2014'}\nretry: {attempts: 3, wait: 500ms}\n",
        }
    )
    found = load(root)
    assert (found.root, found.project.name, found.profile) == (root, "demo", "dev")
    assert found.stores["landing"].model_dump(exclude_none=True) == {"adapter": "files", "url": "data"}
    assert found.executor.type == "threads"
    assert found.catalog["old"].schema_ == "schemas:Old"
    pipeline = found.pipelines["delays"]
    assert pipeline.writes == {"node": "delays"}
    assert {name: (read.dataset, read.trigger) for name, read in pipeline.reads.items()} == {
        "a": ("flights", True),
        "b": ("old", False),
    }
    assert pipeline.partitions is not None
    assert (pipeline.partitions.start, pipeline.partitions.end) == ("2013", "2014")
    assert pipeline.partitions.timezone == "Europe/Berlin"
    zones = {name: each.partition.timezone for name, each in found.catalog.items() if each.partition}
    assert zones == {"flights": "Europe/Berlin", "old": "UTC"}
    assert found.where("pipelines", "delays", "partitions", "timezone") == Where("conf/project.yml", 2, 11)


def test_places(make: Make) -> None:
    found = load(make({}), sets=["params.late=20"])
    assert found.where("pipelines", "delays", "params", "late") == Where("--set params.late=20")
    assert found.where("pipelines", "delays", "writes", "delays") == Where("conf/pipelines/delays.yml", 2, 9)
    assert found.where_key("pipelines", "delays", "writes") == Where("conf/pipelines/delays.yml", 2, 1)
    assert found.where_key("catalog", "flights") == Where("conf/catalog.yml", 1, 1)
    assert found.where("catalog", "flights", "mode") == Where("conf/catalog.yml", 1, 10)
    assert found.where("stores", "landing", "url") == Where("conf/profiles/dev.yml", 2, 34)
    assert found.where("executor", "type") is None


@given(st.sets(st.sampled_from(["project", "pipeline", "base", "profile", "flag"])))
def test_the_strongest_layer_wins(layers: set[str]) -> None:
    def section(layer: str) -> str:
        return yaml.safe_dump({"params": {layer: 1, **({"late": layer} if layer in layers else {})}})

    files = {
        "project.yml": "name: demo\n" + yaml.safe_dump({"defaults": yaml.safe_load(section("project"))}),
        "pipelines/delays.yml": "modules: [delays]\nwrites: [delays]\n" + section("pipeline"),
        "profiles/base.yml": DEMO["profiles/dev.yml"] + section("base"),
        "profiles/dev.yml": "extends: base\n" + section("profile"),
    }
    with tempfile.TemporaryDirectory() as folder:
        found = load(write(Path(folder), files), sets=["params.late=flag"] if "flag" in layers else [])
    params = found.pipelines["delays"].params
    strongest = next((each for each in ("flag", "profile", "base", "pipeline", "project") if each in layers), None)
    assert params.pop("late", None) == strongest
    assert params == {"project": 1, "pipeline": 1, "base": 1, "profile": 1}
    place = found.where("pipelines", "delays", "params", "late")
    assert place is not None
    assert (
        place.file
        == {
            "flag": "--set params.late=flag",
            "profile": "conf/profiles/dev.yml",
            "base": "conf/profiles/base.yml",
            "pipeline": "conf/pipelines/delays.yml",
            "project": "conf/project.yml",
            # Nothing is there, so it is the place of the params around it: the profile's were laid over the others.
            None: "conf/profiles/dev.yml",
        }[strongest]
    )


def test_the_executor_and_its_kind(make: Make) -> None:
    files = {"project.yml": "name: d\ndefaults: {executor: {type: threads, workers: 2, queue: 5}}\n"}
    assert load(make(files), sets=["executor.workers=8"]).executor.model_extra == {"workers": 8, "queue": 5}
    assert load(make(files), sets=["executor.type=sync"]).executor.model_extra == {}


def test_profiles_extend_and_protect(make: Make) -> None:
    root = make(
        {
            "profiles/dev.yml": "stores: {landing: {adapter: files, url: a}, lake: {adapter: delta, url: b}}\n"
            "config: {x: 1}\n",
            "profiles/open.yml": "extends: dev\nstores: {landing: {url: c}, lake: {adapter: duckdb}}\n",
            "profiles/prod.yml": "extends: dev\nprotected: true\nstores: {landing: {adapter: files, url: d}}\n",
        }
    )
    opened, guarded = load(root, profile="open"), load(root, profile="prod")
    assert {name: each.model_dump(exclude_none=True) for name, each in opened.stores.items()} == {
        "landing": {"adapter": "files", "url": "c"},
        "lake": {"adapter": "duckdb"},
    }
    assert [*guarded.stores] == ["landing"]
    assert guarded.pipelines["delays"].config == {"x": 1}


def test_the_profile_of_the_project_is_used_unless_one_is_named(make: Make) -> None:
    root = make({"project.yml": "name: d\nprofile: test\n", "profiles/test.yml": DEMO["profiles/dev.yml"]})
    assert load(root).profile == "test"
    assert load(root, profile="dev").profile == "dev"


def test_unknown_profiles_and_circles(make: Make) -> None:
    root = make(
        {
            "project.yml": "name: d\nprofile: prd\n",
            "profiles/prod.yml": "extends: base\n",
            "profiles/base.yml": "extends: prod\n",
            "profiles/lost.yml": "extends: dve\n",
        }
    )
    known = "known: base, dev, lost, prod"
    assert problems(root) == [f'conf/project.yml:2:10: unknown profile "prd"\n  hint: did you mean "prod"? {known}']
    assert problems(root, profile="x") == [f'unknown profile "x"\n  hint: {known}; or write conf/profiles/x.yml']
    assert problems(root, profile="lost") == [
        f'conf/profiles/lost.yml:1:10: unknown profile "dve"\n  hint: did you mean "dev"? {known}'
    ]
    assert problems(root, profile="prod")[-1] == (
        "conf/profiles/base.yml:1:10: profiles extend one another: prod -> base -> prod\n  hint: take one extends out"
    )


EVERY_MISTAKE = """\
--set executor.workers=[: a value is missing here
  hint: write it, and close every bracket
--set params: "params" is not SECTION.KEY=VALUE
  hint: write it like --set params.late_minutes=20
--set params..a=1: "params..a=1" is not SECTION.KEY=VALUE
  hint: write it like --set params.late_minutes=20
--set x=1: unknown section "x"
  hint: known: config, deadline, executor, max_parallel_steps, memory_budget, params, retry, stores; or params.x=...
conf/catalog.yml:1:18: unknown store "landin"
  hint: did you mean "landing"? known: landing
conf/catalog.yml:1:35: path and table exclude each other
  hint: keep one of them
conf/catalog.yml:1:45: unknown key "mod"
  hint: did you mean "mode"?
conf/catalog.yml:2:1: "b-c" is not a name
  hint: a name is letters, digits and _, and begins with no digit
conf/catalog.yml:2:39: "replac" is not one of overwrite, replace, append, merge, snapshot
  hint: did you mean "replace"?
conf/catalog.yml:3:37: merge needs a key
  hint: add key: [COLUMN]
conf/catalog.yml:3:54: 3 is not text
  hint: put it in quotes
conf/catalog.yml:3:70: "lots" is neither rows nor a share
  hint: write 100 for rows, "5%" for a share
conf/catalog.yml:3:91: "many" is not a number of rows
  hint: write it like 1000, ">= 1" or "10..500"
conf/catalog.yml:3:108: "x" is not a freshness
  hint: write it like "loaded_at within 2d" (m, h, d, w)
conf/catalog.yml:4:1: "d__rejected" cannot be declared
  hint: NAME__rejected is where the rejected rows of NAME go
conf/catalog.yml:4:14: a list is not a mapping
  hint: write a mapping of store, path, table, query, format, options, mode, key and more
conf/catalog.yml:5:4: one of path, table and query is missing
  hint: write path: NAME.parquet for files, table: NAME for tables
conf/catalog.yml:5:29: "Name" is not "module:Name"
  hint: write it like "schemas:Flights"
conf/catalog.yml:5:54: "mnth" is not one of day, month, year
  hint: did you mean "month"?
conf/catalog.yml:5:70: unknown time zone "Europe/Berln"
  hint: did you mean "Europe/Berlin"?
conf/catalog.yml:6:37: replace needs a partition
  hint: add partition: {every: month, column: COLUMN}
conf/catalog.yml:6:46: order_by goes with mode: merge only
  hint: remove it
conf/pipelines/broken.yml:2:1: a value is missing here
  hint: write it, and close every bracket
conf/pipelines/delays.yml:1:10: "delays" is not a list
  hint: write it like [a, b]
conf/pipelines/delays.yml:2:9: "a" is written twice
  hint: name each node once
conf/pipelines/delays.yml:3:25: unknown key "trig"
  hint: did you mean "trigger"? known: dataset, trigger, watermark
conf/pipelines/delays.yml:4:35: "2013-01-15" is not the start of a month
  hint: write it like 2013-02
conf/pipelines/delays.yml:5:19: "ten" is not a whole number
  hint: write digits without quotes, like 20
conf/pipelines/delays.yml:5:30: "soon" is not a duration
  hint: write it like 500ms, 1s, 10m, 2h, 3d or 1w
conf/pipelines/delays.yml:6:31: attempts: 0 must be at least 1
conf/pipelines/delays.yml:6:44: "0s" is no time to run in
  hint: write it like 30s, 10m or 2h
conf/pipelines/delays.yml:6:66: cpus: 0 must be more than 0
conf/pipelines/delays.yml:6:69: unknown key "gpu"
  hint: did you mean "gpus"? known: cpus, gpus, memory
conf/pipelines/delays.yml:6:79: "1b" is not a name
  hint: a name is letters, digits and _, and begins with no digit
conf/pipelines/delays.yml:6:93: "30" is not a duration
  hint: write it like 500ms, 1s, 10m, 2h, 3d or 1w
conf/pipelines/delays.yml:7:9: "no" is not true or false
  hint: write true or false, without quotes
conf/pipelines/empty.yml:1:1: the key "modules" is missing
  hint: add modules: ...
conf/pipelines/empty.yml:1:1: the key "writes" is missing
  hint: add writes: ...
conf/pipelines/list.yml:1:1: a list is not a mapping
  hint: write a mapping of modules, params, config, reads, writes, partitions, retry, timeout and more
conf/pipelines/other.yaml: a file with this ending is not read
  hint: rename it to other.yml
conf/pipelines/un-named.yml:1:1: "un-named" is not a name
  hint: a name is letters, digits and _, and begins with no digit
conf/pipelines/un-named.yml:1:10: at least 1 is needed, there are 0
conf/pipelines/un-named.yml:3:45: the end "2012" is before the start "2013"
  hint: write the later window as end
conf/profiles/dev.yml:1:19: the key "adapter" is missing
  hint: add adapter: ...
conf/profiles/dev.yml:2:8: 3 is not a mapping
  hint: write a mapping of attempts, wait, max_wait, exponential, jitter, errors, not_errors
conf/profiles/dev.yml:3:18: 1 is not text
  hint: put it in quotes
conf/project.yml:1:1: the key "name" is missing
  hint: add name: ...
conf/project.yml:1:1: unknown key "nme"
  hint: did you mean "name"? known: defaults, name, profile, tests, timezone"""


def test_every_mistake_of_every_file_at_once(make: Make) -> None:
    root = make(
        {
            "project.yml": "nme: demo\n",
            "catalog.yml": """\
flights: {store: landin, path: a, table: b, mod: merge}
b-c: {store: landing, table: x, mode: replac}
c: {store: landing, table: x, mode: merge, order_by: 3, max_invalid: lots, expect: {rows: many, freshness: x}}
d__rejected: [1]
e: {store: landing, schema: Name, partition: {every: mnth, timezone: Europe/Berln}, mode: replace}
f: {store: landing, table: x, mode: replace, order_by: x}
""",
            "profiles/dev.yml": "stores: {landing: {url: a}}\nretry: 3\nexecutor: {type: 1}\n",
            "pipelines/delays.yml": """\
modules: delays
writes: [a, a]
reads: {x: {dataset: y, trig: true}}
partitions: {every: month, start: 2013-01-15}
retry: {attempts: ten, wait: soon}
nodes: {a: {retry: {attempts: 0}, timeout: 0s, resources: {cpus: 0, gpu: 1}}, 1b: {timeout: 30}}
always: no
""",
            "pipelines/broken.yml": "a: [\n",
            "pipelines/empty.yml": "",
            "pipelines/list.yml": "- a\n",
            "pipelines/other.yaml": "modules: [a]\n",
            "pipelines/un-named.yml": "modules: []\nwrites: {a: b}\n"
            "partitions: {every: year, start: 2013, end: 2012}\n",
        }
    )
    sets = ["x=1", "params", "params..a=1", "executor.workers=[", "params.late=20"]
    assert "\n".join(problems(root, sets=sets)) == EVERY_MISTAKE


def test_a_mistake_that_a_stronger_layer_hides_is_told_too(make: Make) -> None:
    root = make({"pipelines/delays.yml": "modules: [a]\nwrites: [a]\nretry: {attempts: ten}\n"})
    assert problems(root, sets=["retry.attempts=3"]) == [
        'conf/pipelines/delays.yml:3:19: "ten" is not a whole number\n  hint: write digits without quotes, like 20'
    ]


def test_a_wrong_flag_is_told_once_and_by_its_own_text(make: Make) -> None:
    assert problems(make({"pipelines/two.yml": DEMO["pipelines/delays.yml"]}), sets=["retry.attempts=ten"]) == [
        '--set retry.attempts=ten: "ten" is not a whole number\n  hint: write digits without quotes, like 20'
    ]


def test_there_must_be_a_project_file_but_no_catalog(tmp_path: Path) -> None:
    assert problems(tmp_path) == [
        'unknown profile "dev"\n  hint: there is none yet; write conf/profiles/dev.yml',
        "conf/project.yml: cannot be read: No such file or directory\n  hint: the file must be there and readable",
    ]
    write(tmp_path, {})
    (tmp_path / "conf" / "catalog.yml").unlink()
    assert load(tmp_path).catalog == {}


def test_sections_of_the_wrong_shape(make: Make) -> None:
    root = make({"catalog.yml": "- a\n", "profiles/dev.yml": "stores: [a]\nparams:\n"})
    told = problems(root)
    assert told == [
        "conf/catalog.yml:1:1: a list is not a mapping\n  hint: write it like {key: value}",
        "conf/profiles/dev.yml:1:9: a list is not a mapping\n  hint: write it like {key: value}",
        "conf/profiles/dev.yml:2:8: null is not a mapping\n  hint: write it like {key: value}",
    ]


SECRET_PROFILE = """\
stores:
  landing: {adapter: files, url: data}
  warehouse: {adapter: postgres, dsn: "postgres://me:hunter2@db", options: {key: plaintext, tls: "true"}}
executor:
  workers: ${env:WORKERS}
retry:
  attempts: ${env:ATTEMPTS}
params:
  token: ${env:TOKEN}
"""


def test_secrets_are_known(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "4")
    monkeypatch.setenv("ATTEMPTS", "3")
    monkeypatch.setenv("TOKEN", "t0ken")
    found = load(make({"profiles/dev.yml": SECRET_PROFILE}))
    assert found.executor.model_extra == {"workers": 4}
    assert found.pipelines["delays"].retry.attempts == 3
    assert found.secrets == {"4", "3", "t0ken", "postgres://me:hunter2@db", "plaintext"}
    assert found.is_secret("pipelines", "delays", "params", "token")
    assert not found.is_secret("pipelines", "delays", "params", "late")
    assert found.is_secret("stores", "warehouse", "options", "key")
    assert not found.is_secret("stores", "landing")
    assert "hunter2" not in repr(found)
    assert "t0ken" not in repr(found)


def test_a_secret_never_stands_in_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "4")
    monkeypatch.setenv("ATTEMPTS", "ab")
    monkeypatch.setenv("TOKEN", "t0ken")
    root = make({"profiles/dev.yml": SECRET_PROFILE, "catalog.yml": "a: {store: t0ken, path: x}\n"})
    assert problems(root, sets=["stores.warehouse.password=pa55word", "stores.pa55word=1"]) == [
        "--set stores.***=1: 1 is not a mapping\n  hint: write a mapping of adapter, breaker",
        (
            'conf/catalog.yml:1:12: unknown store "***"\n  hint: known: landing, ***, warehouse; '
            "or add it under stores: of the profile"
        ),
        'conf/profiles/dev.yml:7:13: "***" is not a whole number\n  hint: write digits without quotes, like 20',
    ]


def test_without_the_environment_nothing_is_asked_of_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKERS", "ATTEMPTS", "TOKEN"):
        monkeypatch.delenv(name, raising=False)
    root = make({"profiles/dev.yml": SECRET_PROFILE})
    found = load(root, resolve=False)
    assert found.pipelines["delays"].retry.attempts == 1
    assert found.pipelines["delays"].params["token"] == "${env:TOKEN}"
    assert problems(root) == [
        f"conf/profiles/dev.yml:{place}: the environment variable {name} is not set\n"
        f"  hint: export {name}=... or write ${{env:{name}:-default}}"
        for place, name in (("5:12", "WORKERS"), ("7:13", "ATTEMPTS"), ("9:10", "TOKEN"))
    ]


class Url(Model):
    url: str
    workers: int = 1


def test_options_of_a_store_are_checked_in_place(make: Make) -> None:
    found: Configuration = load(make({}))
    rest = found.stores["landing"].model_extra or {}
    assert validate_options(Url, rest, found, "stores", "landing") == Url(url="data")
    with pytest.raises(ConfigError) as caught:
        validate_options(Model, rest, found, "stores", "landing")
    assert str(caught.value) == 'conf/profiles/dev.yml:2:29: unknown key "url"\n  hint: take it out'


def test_options_that_are_not_resolved_are_left_out_where_they_can_be(make: Make) -> None:
    profile = "stores:\n  landing:\n    adapter: files\n    url: ${env:URL_}\n    workers: ${env:WORKERS_}\n"
    found = load(make({"profiles/dev.yml": profile}), resolve=False)
    rest = found.stores["landing"].model_extra or {}
    assert validate_options(Url, rest, found, "stores", "landing") == Url(url="${env:URL_}", workers=1)

    class Required(BaseModel):
        workers: int

    with pytest.raises(ConfigError) as caught:
        validate_options(Required, {"workers": rest["workers"]}, found, "stores", "landing")
    assert str(caught.value) == (
        'conf/profiles/dev.yml:5:14: "***" is not a whole number\n  hint: write digits without quotes, like 20'
    )


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("1s", timedelta(seconds=1)),
        ("10m", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1s", "1y", "9999999w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=f'^"{text}" is not a duration$'):
        duration(text)


def test_redaction_takes_the_longest_first_and_leaves_the_shortest() -> None:
    assert redact("password passw on 5432", ["passw", "password", "on", "5432", ""]) == "*** *** on ***"


def test_the_memory_budget_is_the_strongest_of_flag_profile_and_project(make: Make) -> None:
    stores = "stores:\n  landing: {adapter: files, url: data}\n"
    root = make({})
    assert load(root).memory_budget is None
    root = make({"project.yml": "name: demo\ndefaults: {memory_budget: 1GB}\n"})
    assert load(root).memory_budget == 10**9
    root = make({"profiles/dev.yml": f"{stores}memory_budget: 1.5GB\n"})
    assert load(root).memory_budget == 1_500_000_000
    assert load(root, sets=["memory_budget=500MB"]).memory_budget == 5 * 10**8


def test_a_memory_budget_that_is_no_size_is_told_in_its_place(make: Make) -> None:
    root = make({"profiles/dev.yml": "stores: {landing: {adapter: files, url: data}}\nmemory_budget: much\n"})
    (told,) = problems(root)
    assert told == ('conf/profiles/dev.yml:2:16: "much" is not a size\n  hint: write it like 512MB or 2GB')
    (told,) = problems(make(DEMO), sets=["memory_budget.rows=2GB"])
    assert told == (
        '--set memory_budget.rows=2GB: "memory_budget.rows=2GB" is not memory_budget=VALUE\n'
        "  hint: write it like --set memory_budget=2GB"
    )


def test_the_deadline_is_the_strongest_of_flag_profile_and_project(make: Make) -> None:
    stores = "stores:\n  landing: {adapter: files, url: data}\n"
    assert load(make({})).deadline is None
    project = {"project.yml": "name: demo\ndefaults: {deadline: 1d}\n"}
    assert load(make(project)).deadline == timedelta(days=1)
    root = make(project | {"profiles/dev.yml": f"{stores}deadline: 2h\n"})
    assert load(root).deadline == timedelta(hours=2)
    assert load(root, sets=["deadline=90s"]).deadline == timedelta(seconds=90)


def test_a_deadline_that_is_no_duration_is_told_in_its_place(make: Make) -> None:
    root = make({"profiles/dev.yml": "stores: {landing: {adapter: files, url: data}}\ndeadline: noon\n"})
    assert problems(root) == [
        'conf/profiles/dev.yml:2:11: "noon" is not a duration\n  hint: write it like 500ms, 1s, 10m, 2h, 3d or 1w'
    ]
    assert problems(make(DEMO), sets=["deadline=2h", "deadline.run=2h"]) == [
        '--set deadline.run=2h: "deadline.run=2h" is not deadline=VALUE\n  hint: write it like --set deadline=2h'
    ]
