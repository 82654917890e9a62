"""How nodes are run as YAML and tags say, and what `flowpipe check` says of it."""

from __future__ import annotations

import json

from tests.conftest import ProjectFolder

CODE = """\
import polars as pl
from hamilton.function_modifiers import tag


{tag}
def rates() -> int:
    return 1


def doubled(numbers: pl.LazyFrame, rates: int) -> pl.LazyFrame:
    return numbers
"""
OK = "ok: 1 pipeline, 2 datasets, profile dev\n"
THREADS = (
    "on executor threads a node cannot be stopped; after that time it fails or is tried again, but its thread goes on "
    "unseen until it ends\n  hint: executor processes, dask or ray ends it\n"
)


def checked(project: ProjectFolder, yaml: str = "", tag: str = "@tag()", profile: str = "") -> tuple[int, str]:
    """The exit code of a check, and what it prints."""
    project.write(
        {
            "conf/profiles/dev.yml": f"stores: {{here: {{adapter: files, url: data}}}}\n{profile}",
            "conf/pipelines/double.yml": f"modules: [double]\nwrites: [doubled]\n{yaml}",
            "pipelines/double.py": CODE.replace("{tag}", tag),
            "pipelines/rated.py": "class RateLimited(Exception): ...\n",
        }
    )
    done = project.flowpipe("check")
    assert not (done.out and done.err)
    return done.code, done.out + done.err


def test_names_of_errors(project: ProjectFolder) -> None:
    yaml = (
        "retry: {attempts: 2, errors: [ConectionError, rated.RateLimited], not_errors: [rated.RateLimitd]}\n"
        "nodes: {rates: {retry: {errors: [jsn.JSONDecodeError]}}, rate: {timeout: 1s}}\n"
    )
    assert checked(project, yaml, '@tag(retry="attempts: 2, errors: [OSErr]")') == (
        2,
        (
            'error: conf/pipelines/double.yml:3:31: unknown exception "ConectionError"\n'
            '  hint: did you mean "ConnectionError"?\n'
            'error: conf/pipelines/double.yml:3:80: unknown exception "rated.RateLimitd"\n'
            '  hint: did you mean "rated.RateLimited"? known: rated.RateLimited\n'
            'error: conf/pipelines/double.yml:4:34: unknown exception "jsn.JSONDecodeError"\n'
            "  hint: No module named 'jsn'\n"
            'error: conf/pipelines/double.yml:4:58: unknown node "rate"\n'
            '  hint: did you mean "rates"? known: doubled, rates\n'
            'error: pipelines/double.py:6: unknown exception "OSErr"\n'
            '  hint: did you mean "OSError"?\n'
        ),
    )
    assert checked(project, "retry: {attempts: 2, errors: [OSError, rated.RateLimited]}\n") == (0, OK)


def test_tags(project: ProjectFolder) -> None:
    tag = '@tag(retry="attempts=3", timeout="soon", resources="cpus: 0, gpu: 1, memory: lots")'
    assert checked(project, tag=tag) == (
        2,
        (
            'error: pipelines/double.py:6: tag retry of node rates: "attempts=3" is not a mapping\n'
            '  hint: write it as in YAML, like @tag(retry="attempts: 3, wait: 2s")\n'
            'error: pipelines/double.py:6: tag timeout of node rates: "soon" is not a duration\n'
            '  hint: write it as in YAML, like @tag(timeout="30s")\n'
            "error: pipelines/double.py:6: tag resources of node rates: 0 must be more than 0\n"
            '  hint: write it as in YAML, like @tag(resources="cpus: 2, memory: 4GB")\n'
            'error: pipelines/double.py:6: tag resources of node rates: "lots" is not a size\n'
            "  hint: write it like 512MB or 2GB\n"
            'error: pipelines/double.py:6: tag resources of node rates: unknown key "gpu"\n'
            '  hint: did you mean "gpus"? known: cpus, gpus, memory\n'
        ),
    )
    assert checked(project, tag='@tag(retry=["a", "b"], resources="cpus: [")') == (
        2,
        (
            "error: pipelines/double.py:6: tag retry of node rates is not text\n"
            '  hint: write it as in YAML, like @tag(retry="attempts: 3, wait: 2s")\n'
            "error: pipelines/double.py:6: tag resources of node rates: a value is missing here\n"
            '  hint: write it as in YAML, like @tag(resources="cpus: 2, memory: 4GB")\n'
        ),
    )


def test_resources_that_never_are(project: ProjectFolder) -> None:
    profile = "executor: {type: threads, workers: 4, memory: 8GB}\n"
    asked = "nodes: {rates: {resources: {cpus: 8, gpus: 1}}}\n"
    hint = "  hint: lower it, or use an executor that has more\n"
    assert checked(project, asked, '@tag(resources="cpus: 1, memory: 9GB")', profile) == (
        2,
        (
            "error: conf/pipelines/double.yml:3:35: node rates takes cpus: 8, but executor threads has 4\n"
            f"{hint}"
            "error: conf/pipelines/double.yml:3:44: node rates takes gpus: 1, but executor threads has 0\n"
            f"{hint}"
            "error: pipelines/double.py:6: node rates takes memory: 9GB, but executor threads has 8GB\n"
            f"{hint}"
        ),
    )
    assert checked(project, asked, profile="executor: {type: sync}\n") == (0, OK)
    assert checked(project, "nodes: {rates: {resources: {cpus: 4, memory: 8GB}}}\n", profile=profile) == (0, OK)


def test_what_a_timeout_cannot_do_is_a_note(project: ProjectFolder) -> None:
    yaml = "timeout: 1h\nnodes: {rates: {timeout: 30s}}\n"
    pipeline = f"note: conf/pipelines/double.yml:3:10: timeout of pipeline double: {THREADS}"
    assert checked(project, yaml) == (
        0,
        f"{pipeline}note: conf/pipelines/double.yml:4:26: timeout of node rates: {THREADS}{OK}",
    )
    assert checked(project, "timeout: 1h\n", '@tag(timeout="30s")') == (
        0,
        f"{pipeline}note: pipelines/double.py:6: timeout of node rates: {THREADS}{OK}",
    )
    assert checked(project, "nodes: {rates: {timeout: 30s}}\n", profile="executor: {type: sync}\n") == (
        0,
        (
            "note: conf/pipelines/double.yml:3:26: timeout of node rates: on executor sync a node cannot be stopped; "
            f"that it took too long is noticed when it ends\n  hint: executor processes, dask or ray ends it\n{OK}"
        ),
    )


def test_what_is_not_known_is_not_checked(project: ProjectFolder) -> None:
    yaml = 'retry: {errors: ["${env:AGAIN}"]}\nnodes: {rates: {timeout: "${env:TIME}", resources: {cpus: 99}}}\n'
    checked(project, yaml, profile='executor: {type: threads, workers: "${env:WORKERS}"}\n')
    done = project.flowpipe("check", "--offline")
    assert (done.code, done.out, done.err) == (0, OK, "")
    done = project.flowpipe("check", AGAIN="Secreterror", TIME="17s", WORKERS="7")
    assert (done.code, done.out) == (2, "")
    assert "Secreterror" not in done.err
    assert 'double.yml:3:18: unknown exception "***"' in done.err


SLOW = """\
import time

import polars as pl
import rated
from hamilton.function_modifiers import check_output, tag

TRIES = []


@tag(retry="attempts: 4, wait: 20ms, errors: [TimeoutError, rated.RateLimited]", timeout="300ms")
@check_output(range=(0, 9))
def rates() -> int:
    TRIES.append(1)
    if len(TRIES) == 1:
        time.sleep(1)
    if len(TRIES) == 2:
        raise rated.RateLimited("too often")
    if len(TRIES) == 3 and FATAL:
        raise rated.Fatal("too often")
    return 1


def doubled(numbers: pl.LazyFrame, rates: int) -> pl.LazyFrame:
    return numbers
"""


def attempts(project: ProjectFolder, executor: str) -> tuple[int, str, dict[str, int]]:
    """The exit code of a run, its errors, and how often its nodes were tried."""
    done = project.flowpipe("run", "--force", "--set", f"executor.type={executor}")
    (step,) = json.loads(project.flowpipe("show", "last", "--json").out)["steps"]
    return done.code, done.err, {node["node"]: node["attempts"] for node in step["nodes"]}


def test_a_tag_is_obeyed(project: ProjectFolder) -> None:
    files = {
        "conf/pipelines/double.yml": "modules: [double]\nwrites: [doubled]\n",
        "pipelines/rated.py": "class RateLimited(Exception): ...\n\n\nclass Fatal(RateLimited): ...\n",
        "pipelines/double.py": SLOW.replace("FATAL", "False"),
    }
    project.write(files)
    ones = {"rates_range_validator": 1, "rates": 1, "doubled": 1}
    for executor in ("threads", "sync"):
        assert attempts(project, executor) == (0, "", {"rates_raw": 3, **ones})
    files["conf/pipelines/double.yml"] += "nodes: {rates: {retry: {not_errors: [rated.Fatal]}}}\n"
    files["pipelines/double.py"] = SLOW.replace("FATAL", "True")
    code, told, tried = attempts(project.write(files), "threads")
    assert (code, tried) == (1, {"rates_raw": 3})
    assert told.startswith("error: pipelines/double.py:12: node rates_raw failed after 3 attempts: Fatal: too often\n")
