"""The servers for tests and for trying things by hand."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

CHECK = """
import os, psycopg, s3fs
print(psycopg.connect(os.environ["WAREHOUSE_DSN"]).execute("SELECT 41 + 1").fetchone()[0])
files = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
files.pipe_file("flowpipe/x", b"there")
print(files.cat("flowpipe/x").decode())
raise SystemExit(7)
"""


def test_a_command_finds_both_servers_and_they_end_with_it() -> None:
    command = [sys.executable, "-m", "flowpipe.testing", "serve", sys.executable, "-c", CHECK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.split(), done.stderr) == (7, ["42", "there"], "")


def test_a_signal_ends_both_servers_too(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as out:
        serving = subprocess.Popen([sys.executable, "-m", "flowpipe.testing", "serve"], stdout=out)
        while "Ctrl-C" not in (tmp_path / "out").read_text():
            assert serving.poll() is None
            time.sleep(0.1)
    exported = dict(re.findall(r"export (\w+)='(.*)'", (tmp_path / "out").read_text()))
    serving.terminate()
    assert serving.wait(timeout=60) == 0
    host, port = exported["AWS_ENDPOINT_URL"].removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(exported["WAREHOUSE_DSN"])


def test_other_words_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowpipe.testing", "sevre"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "usage: python -m flowpipe.testing serve [COMMAND ...]\n")
