"""Every command and flag as a user types them: what they print, where, and their exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import ProjectFolder

MONTHLY = {
    "conf/catalog.yml": """
        numbers: {store: here, path: numbers.csv}
        doubled: {store: here, path: doubled.parquet}
        raw: {store: here, path: "raw/{partition:%Y-%m}.csv", partition: {every: month}}
        clean: {store: lake, table: clean, mode: replace, partition: {every: month, column: day}}
        """,
    "conf/pipelines/monthly.yml": """
        modules: [monthly]
        writes: [clean]
        partitions: {every: month, start: 2024-01, end: 2024-03}
        """,
    "conf/profiles/other.yml": "extends: dev\nparams: {factor: 5}\n",
    "pipelines/monthly.py": """
        import polars as pl


        def clean(raw: pl.LazyFrame) -> pl.LazyFrame:
            return raw.with_columns(pl.col("day").str.to_date())
        """,
    **{f"data/raw/2024-0{month}.csv": f"day,n\n2024-0{month}-05,{month}\n" for month in (1, 2, 3)},
}
MONTHS = ("2024-01", "2024-02", "2024-03")


@pytest.fixture
def monthly(project: ProjectFolder) -> ProjectFolder:
    return project.write(MONTHLY)


def steps(project: ProjectFolder, *arguments: str) -> list[str]:
    """The steps of a plan, by name."""
    done = project.flowpipe("plan", "--json", *arguments)
    assert (done.code, done.err) == (0, "")
    return [row["step"] for row in json.loads(done.out)]


def refused(project: ProjectFolder, *arguments: str, **env: str) -> str:
    """The error of a command that is a mistake: exit 2, and nothing on stdout."""
    done = project.flowpipe(*arguments, **env)
    assert (done.code, done.out) == (2, "")
    return done.err


def masked(text: str) -> str:
    """A text without what differs from run to run."""
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"just now|\d+ minutes? ago", "AGO", text)
    return re.sub(r"\b(\d+ ms|\d+\.\d s)(?=$|\s)", "TOOK", text, flags=re.MULTILINE)


def test_a_life_with_the_command(monthly: ProjectFolder) -> None:
    assert monthly.flowpipe("--version").out == "flowpipe 0.1.0\n"
    listed = monthly.flowpipe("list")
    assert (listed.code, listed.err) == (0, "")
    assert listed.out == (
        "PIPELINE  MODULES  WRITES   PARTITIONS\n"
        "double    double   doubled\n"
        "monthly   monthly  clean    month from 2024-01 to 2024-03\n"
        "\n"
        "DATASET  STORE  PATH OR TABLE              MODE       WRITTEN BY\n"
        "numbers  here   numbers.csv\n"
        "doubled  here   doubled.parquet            overwrite  double\n"
        "raw      here   raw/{partition:%Y-%m}.csv\n"
        "clean    lake   clean                      replace    monthly\n"
    )
    assert json.loads(monthly.flowpipe("list", "--json").out)["datasets"]["clean"]["partition"] == {
        "every": "month",
        "column": "day",
    }
    assert monthly.flowpipe("check").out == "ok: 2 pipelines, 4 datasets, profile dev\n"
    assert monthly.flowpipe("runs").out == "RUN  STARTED  PROFILE  OUTCOME  TOOK  STEPS\n"
    assert refused(monthly, "show", "last") == 'error: unknown run "last"\n  hint: there is none yet\n'

    first = monthly.flowpipe("run", "double", "-v")
    assert (first.code, first.err) == (0, "")
    assert masked(first.out) == (
        "run RUN  profile dev\n"
        "    doubled  done  TOOK\n"
        "  double                done      doubled 3 rows  TOOK\n"
        "done: 1 done in TOOK\n"
    )
    second = monthly.flowpipe("run", "--json", "--from", "2024-02", "--set", "params.factor=3")
    assert (second.code, second.err) == (0, "")
    records = [json.loads(line) for line in second.out.splitlines()]
    assert [record["record"] for record in records[:2]] == ["RunStarted", "StepStarted"]
    assert {record["run"] for record in records} == {records[0]["run"]}
    assert sorted((r["pipeline"], r["slice"], r["outcome"]) for r in records if r["record"] == "StepEnded") == [
        ("double", "all", "done"),
        ("monthly", "2024-02", "done"),
        ("monthly", "2024-03", "done"),
    ]
    run = records[0]["run"]
    assert [line.split() for line in masked(monthly.flowpipe("runs").out).splitlines()[1:]] == [
        ["RUN", "TIME", "dev", "done", "TOOK", "3", "done"],
        ["RUN", "TIME", "dev", "done", "TOOK", "1", "done"],
    ]
    assert len(monthly.flowpipe("runs", "-n", "1").out.splitlines()) == 2
    shown = monthly.flowpipe("show", run[:-2])
    assert (shown.code, shown.err) == (0, "")
    assert masked(re.sub(r"\d+(\.\d)? k?B$", "SIZE", shown.out, flags=re.MULTILINE)) == (
        "run RUN  done  TOOK\n"
        "TIME, AGO  profile dev  run --json --from 2024-02 --set params.factor=3\n"
        "\n"
        "double  done  params.factor changed 2 -> 3  TOOK\n"
        "  node    doubled  done  TOOK\n"
        "  output  doubled  3 rows  SIZE\n"
        "\n"
        "monthly 2024-02  done  never published  TOOK\n"
        "  node    clean  done  TOOK\n"
        "  output  clean  1 row  SIZE\n"
        "\n"
        "monthly 2024-03  done  never published  TOOK\n"
        "  node    clean  done  TOOK\n"
        "  output  clean  1 row  SIZE\n"
    )
    assert refused(monthly, "show", "1999").startswith('error: unknown run "1999"\n  hint: known: ')
    below = ProjectFolder(monthly.path / "data/raw")
    assert below.flowpipe("runs", "--json").out == monthly.flowpipe("runs", "--json").out
    away = ProjectFolder(monthly.path.parent)
    assert away.flowpipe("plan", "double", "-C", "project").out == (
        "STEP    ACTION  WHY\ndouble  run     params.factor changed 3 -> 2\n"
    )
    assert refused(away, "list") == (
        f"error: no flowpipe project at {away.path} or above it: there is no conf/project.yml\n"
        "  hint: go to the project's folder, or name it with --project DIR; `flowpipe init DIR` makes one\n"
    )
    for command in ("list", "runs"):
        pipe = f"{sys.executable} -m flowpipe {command} | true; exit ${{PIPESTATUS[0]}}"
        broken = subprocess.run(["bash", "-c", pipe], cwd=monthly.path, capture_output=True, text=True, check=False)
        assert (broken.returncode in {0, 1}, broken.stderr) == (True, "")


def test_which_pipelines_windows_and_profiles(monthly: ProjectFolder) -> None:
    windows = [f"monthly {month}" for month in MONTHS]
    assert steps(monthly) == ["double", *windows]
    assert steps(monthly, "monthly", "--partition", "2024-03", "--partition", "2024-01") == [windows[2], windows[0]]
    assert steps(monthly, "monthly", "--from", "2024-02", "--to", "2024-02") == [windows[1]]
    assert refused(monthly, "plan", "double", "--partition", "2024-01") == (
        "error: no partitions: double runs as a whole\n  hint: leave out --partition, --from and --to\n"
    )
    assert (
        refused(monthly, "plan", "--partition", "2024-13")
        .splitlines()[0]
        .endswith('runs by month, and "2024-13" is not the start of a month')
    )
    assert refused(monthly, "run", "--partition", "2024-04") == (
        "error: pipeline monthly has no window 2024-04\n  hint: its windows are 2024-01 to 2024-03\n"
    )
    assert refused(monthly, "run", "--from", "2024-03", "--to", "2024-02") == (
        "error: --from 2024-03 is after --to 2024-02\n  hint: write the earlier window first\n"
    )
    assert refused(monthly, "run", "doubel", "montly") == (
        'error: unknown pipeline "doubel"\n  hint: did you mean "double"? known: double, monthly\n'
        'error: unknown pipeline "montly"\n  hint: did you mean "monthly"? known: double, monthly\n'
    )
    for arguments, env in ((("--profile", "othr"), {}), ((), {"FLOWPIPE_PROFILE": "othr"})):
        assert refused(monthly, "run", *arguments, **env) == (
            'error: unknown profile "othr"\n  hint: did you mean "other"? known: dev, other\n'
        )
    assert refused(monthly, "run", "--set", "parms.factor=2", "--set", "params.factor=ten") == (
        'error: --set params.factor=ten: param factor: "ten" is not a whole number (int)\n'
        "  hint: write a value of the annotated type\n"
        'error: --set parms.factor=2: unknown section "parms"\n'
        '  hint: did you mean "params"? '
        "known: config, deadline, executor, max_parallel_steps, memory_budget, params, retry, stores\n"
    )
    assert refused(monthly, "run", "--wait", "soon") == (
        'error: --wait: "soon" is not a duration\n  hint: write it like 30s, 10m or 2h\n'
    )
    assert 'unknown option of run: "--nope"' in refused(monthly, "run", "--nope")
    assert not (monthly.path / ".flowpipe").exists(), "nothing of all this was a run"
    done = monthly.flowpipe("run", "double", FLOWPIPE_PROFILE="other")
    assert done.out.splitlines()[0].endswith("profile other")
    assert monthly.flowpipe("plan", "double").out.splitlines()[1] == "double  run     params.factor changed 5 -> 2"


def test_what_is_printed_is_plain_when_piped(project: ProjectFolder) -> None:
    long = "long" * 30
    project.write(
        {
            "conf/catalog.yml": f"numbers: {{store: here, path: numbers.csv}}\n{long}: {{store: here, path: x.csv}}\n",
            "conf/pipelines/double.yml": f"modules: [double]\nwrites: {{doubled: {long}}}\nparams: {{factor: 2}}\n",
        }
    )
    for arguments in (("list",), ("plan",), ("run", "-v"), ("run",), ("runs",), ("show", "last")):
        done = project.flowpipe(*arguments, COLUMNS="40", TERM="xterm-256color")
        assert (done.code, done.err) == (0, "")
        assert "\x1b" not in done.out
        if arguments[0] == "list" or "-v" in arguments:
            assert sum(long in line for line in done.out.splitlines()) > 0


def test_missing_inputs_are_named_before_anything_runs(project: ProjectFolder) -> None:
    project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: here, path: nubmers.csv}
                others: {store: lake, table: others}
                doubled: {store: here, path: doubled.parquet}
                copied: {store: here, path: copied.parquet}
                """,
            "conf/pipelines/copy.yml": "modules: [copied]\nwrites: [copied]\n",
            "pipelines/copied.py": """
                import polars as pl


                def copied(others: pl.LazyFrame) -> pl.LazyFrame:
                    return others
                """,
        }
    )
    expected = (
        'error: conf/catalog.yml:1:1: input numbers is not there: data/nubmers.csv (store "here")\n'
        "  hint: the nearest that is there: data/numbers.csv\n"
        f'error: conf/catalog.yml:2:1: input others is not there: {project.path}/data/lake/others (store "lake")\n'
        "  hint: make it, or mend the path in the catalog\n"
    )
    for command in ("plan", "run"):
        done = project.flowpipe(command)
        assert (done.code, done.err) == (2, expected)
    assert [path.name for path in (project.path / "data").iterdir()] == ["numbers.csv"]


FAILING = """
import polars as pl


def _inner(number: int) -> int:
    raise ValueError("one\\ntwo\\nthree\\nfour")


def doubled(numbers: pl.LazyFrame, factor: int) -> pl.LazyFrame:
    return _inner(factor)
"""


def test_a_failing_node(project: ProjectFolder) -> None:
    failed = project.write({"pipelines/double.py": FAILING}).flowpipe("run")
    assert (failed.code, failed.err) == (
        1,
        (
            "error: pipelines/double.py:8: node doubled failed: ValueError: one\n"
            "    two\n"
            "    three\n"
            '  at pipelines/double.py:5: raise ValueError("one\\ntwo\\nthree\\nfour")\n'
            "  hint: run again with --debug to see the traceback\n"
        ),
    )
    assert masked(failed.out) == (
        "run RUN  profile dev\n  double                failed    TOOK\nfailed: 1 failed in TOOK\n"
    )
    debugged = project.flowpipe("run", "--debug")
    assert debugged.code == 1
    assert debugged.err.startswith("Traceback (most recent call last):\n")
    assert debugged.err.endswith(failed.err)
    lazy = FAILING.replace("return _inner(factor)", 'return numbers.select("m")')
    failed = project.write({"pipelines/double.py": lazy}).flowpipe("run")
    assert (failed.code, failed.err) == (
        1,
        (
            "error: pipelines/double.py:8: node doubled failed when its rows were computed: ColumnNotFoundError: "
            'unable to find column "m"; valid columns: ["n"] (in select)\n'
            "  hint: look at what it is made of: flowpipe run --select numbers\n"
        ),
    )


def test_check_tells_everything_at_once(project: ProjectFolder) -> None:
    project.write(
        {
            "conf/catalog.yml": """
                numbers: {store: heer, path: numbers.csv}
                doubled: {store: here, path: doubled.parquet, mode: overwirte}
                third: {store: lake, path: x}
                """,
            "conf/profiles/dev.yml": """
                stores:
                  here: {adapter: files, url: data}
                  lake: {adapter: detla, url: data/lake}
                executor: {type: thraeds}
                """,
            "conf/pipelines/broken.yml": "modules: [double]\nwrites: [doubled\n",
            "conf/pipelines/other.yml": """
                modules: [other]
                writes:
                  - third
                  - thrid
                """,
            "conf/pipelines/unset.yml": """
                modules: [double]
                params: {factor: "${env:NOT_SET}"}
                writes: [doubled]
                """,
            "pipelines/other.py": """
                import polars as pl


                def third(nmubers: pl.LazyFrame, numbers: pl.LazyFrame) -> pl.LazyFrame:
                    return numbers


                def wrong(numbers: pl.LazyFrame):
                    return numbers
                """,
        }
    )
    assert refused(project, "check") == (
        'error: conf/catalog.yml:1:18: unknown store "heer"\n'
        '  hint: did you mean "here"? known: here, lake\n'
        'error: conf/catalog.yml:2:53: "overwirte" is not one of overwrite, replace, append, merge, snapshot\n'
        '  hint: did you mean "overwrite"?\n'
        'error: conf/pipelines/broken.yml:2:9: this "[" is never closed, or a comma is missing in it\n'
        "  hint: write ] at its end, and a comma between two values\n"
        "error: conf/pipelines/unset.yml:2:18: the environment variable NOT_SET is not set\n"
        "  hint: export NOT_SET=... or write ${env:NOT_SET:-default}\n"
        "error: conf/pipelines/unset.yml:3:10: dataset doubled is written by double (node doubled) "
        "and unset (node doubled)\n"
        "  hint: let one node write it\n"
        'error: conf/profiles/dev.yml:3:19: unknown adapter "detla"\n'
        '  hint: did you mean "delta"? known: delta, duckdb, files, postgres\n'
        'error: conf/profiles/dev.yml:4:18: unknown executor "thraeds"\n'
        '  hint: did you mean "threads"? known: dask, processes, ray, sync, threads\n'
        "error: pipelines/other.py:8: function wrong has no return annotation\n"
        "  hint: write what it returns, or begin its name with _ if it is no node: _wrong\n"
    )
    # The graph is there now, so what it is bound to is told, too.
    fixed = (project.path / "pipelines/other.py").read_text().replace("def wrong", "def _wrong")
    project.write({"pipelines/other.py": fixed, "conf/pipelines/broken.yml": "modules: [double]\nwrites: [doubled]\n"})
    told = refused(project, "check").splitlines()
    assert told[4:8] == [
        'error: conf/pipelines/other.yml:4:5: unknown node "thrid"',
        '  hint: did you mean "third"? known: third',
        "error: conf/pipelines/unset.yml:2:18: the environment variable NOT_SET is not set",
        "  hint: export NOT_SET=... or write ${env:NOT_SET:-default}",
    ]
    assert told[14:] == [
        'error: pipelines/double.py:4: unknown input of node doubled: "factor"',
        (
            "  hint: known: numbers, partition, run_time, third; "
            "or add it to conf/catalog.yml, or to params: in conf/pipelines/broken.yml"
        ),
        'error: pipelines/other.py:4: unknown input of node third: "nmubers"',
        '  hint: did you mean "numbers"? known: doubled, numbers, partition, run_time',
    ]


SECRET = "hunter2hunter2"


def test_secrets_are_shown_nowhere(project: ProjectFolder) -> None:
    """Not on stdout or stderr, in the ledger, in a manifest, beside the data; not even in a traceback."""
    project.write(
        {
            "conf/profiles/dev.yml": """
                stores:
                  here: {adapter: files, url: data}
                  lake: {adapter: delta, url: data/lake, options: {AWS_SECRET_ACCESS_KEY: "${env:TOKEN}"}}
                """,
            "conf/catalog.yml": """
                numbers: {store: here, path: numbers.csv}
                doubled: {store: lake, table: doubled}
                """,
            "conf/pipelines/double.yml": """
                modules: [double]
                params: {token: "${env:TOKEN}", fail: true}
                config: {region: "${env:TOKEN}"}
                writes: [doubled]
                """,
            "pipelines/double.py": """
                import polars as pl


                def doubled(numbers: pl.LazyFrame, token: str, region: str, fail: bool) -> pl.LazyFrame:
                    assert token == region
                    if fail:
                        raise ValueError(f"{token} was refused")
                    return numbers
                """,
        }
    )
    failed = project.flowpipe("run", "--set", "stores.lake.options.password=" + SECRET, TOKEN=SECRET)
    assert failed.code == 1
    assert "ValueError: *** was refused\n" in failed.err
    debugged = project.flowpipe("run", "--debug", TOKEN=SECRET)
    assert "ValueError: *** was refused\n" in debugged.err
    fine = project.flowpipe("run", "--set", "params.fail=false", TOKEN=SECRET)
    assert (fine.code, fine.err) == (0, "")
    printed = [failed, debugged, fine]
    printed += [
        project.flowpipe(*arguments, TOKEN=SECRET)
        for arguments in (("list", "--json"), ("plan",), ("runs", "--json"), ("show", "last", "--json"))
    ]
    assert all(SECRET not in done.out + done.err for done in printed)
    kept = [path for folder in (".flowpipe", "data") for path in (project.path / folder).rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
    assert project.flowpipe("plan", "--set", "params.fail=false", TOKEN="another").out == (
        "STEP    ACTION  WHY\ndouble  skip    up to date\n"
    )
    wrong = project.flowpipe("run", "--set", "params.fail=" + SECRET, TOKEN=SECRET)
    assert wrong.code == 2
    assert SECRET not in wrong.err
    offline = project.flowpipe("check", "--offline")
    assert (offline.code, offline.out) == (0, "ok: 1 pipeline, 2 datasets, profile dev\n")
