"""S3 that fails: answers that are lost, errors that pass or stay, connections that are cut. Never half, never twice."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_delta_s3 import Bucket, bucket, dataset  # noqa: F401 - a fixture

from flowpipe.adapters import Held
from flowpipe.errors import FlowpipeError, PublishError
from flowpipe.testing.servers import S3Server
from flowpipe.testing.suite import Store, month, rows

# What to do with a request: None lets it through, a number is the answer instead, "cut" hangs up before it reaches the
# server, "lost" after.
Fault = Callable[[str, str], int | str | None]


class Proxy:
    """In front of a real server; `fault` may be changed at any time."""

    def __init__(self, server: S3Server) -> None:
        self.fault: Fault = lambda _method, _path: None
        self.seen: list[tuple[str, str]] = []
        proxy, target = self, server.endpoint.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                fault = proxy.fault(self.command, self.path)
                self.close_connection = True
                if fault == "cut":
                    return
                if isinstance(fault, int):
                    self.send_response(fault)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                connection = http.client.HTTPConnection(target)
                connection.request(self.command, self.path, body=body, headers=dict(self.headers))
                found = connection.getresponse()
                content = found.read()
                if fault == "lost":
                    return
                self.send_response(found.status)
                for name, value in found.getheaders():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                        self.send_header(name, value)
                length = found.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length or "0")
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    with suppress(OSError):  # who asks may hang up before it has read all
                        self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def faulty(self, kind: int | str, part: str, times: int = 1, method: str = "PUT") -> None:
        """The first so many requests of this method whose path holds `part` fail."""
        left = [times]

        def fault(asked: str, path: str) -> int | str | None:
            if asked == method and part in path and left[0]:
                left[0] -= 1
                return kind
            return None

        self.fault = fault


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    proxy = Proxy(s3_server)
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()


@pytest.fixture
def store(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> Store:  # noqa: F811
    return Store(bucket.store(endpoint_url=proxy.endpoint), tmp_path)


LOG = "_delta_log/0"
MODES: dict[str, dict[str, Any]] = {
    "overwrite": {},
    "append": {"mode": "append", "partition": {"every": "month", "column": "day"}},
    "replace": {"mode": "replace", "partition": {"every": "month", "column": "day"}},
    "merge": {"mode": "merge", "key": ["id"], "partition": {"every": "month", "column": "day"}},
}


def two(mode: str) -> list[int]:
    return [2] if mode == "overwrite" else [1, 2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["lost", "cut", 500, 503])
def test_a_commit_that_is_answered_badly_once_is_made_once(store: Store, proxy: Proxy, mode: str, kind: Any) -> None:
    config = dataset(**MODES[mode])
    for number, key in enumerate(("2013-01", "2013-02"), 1):
        publication = store.stage(config, rows(key, number), month(key), fingerprint=f"f{number}")
        proxy.faulty(kind, LOG)
        store.adapter.publish(publication)
        assert store.held(config, month(key)) == Held(publication.state)
    assert store.ids(config) == two(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["lost", 500])
def test_a_server_that_keeps_failing_is_told_and_the_next_run_publishes(
    store: Store, proxy: Proxy, mode: str, kind: Any
) -> None:
    config = dataset(**MODES[mode])
    store.publish(config, rows("2013-01", 1), month("2013-01"))
    publication = store.stage(config, rows("2013-02", 2), month("2013-02"), fingerprint="f2", run="run2")
    proxy.faulty(kind, LOG, times=1000)
    with suppress(PublishError):
        store.adapter.publish(publication)
    proxy.fault = lambda _method, _path: None
    assert store.ids(config) in ([1], two(mode)), "old or new"
    assert store.adapter.is_staged(publication.staged) or store.held(config, month("2013-02")).state is not None
    store.adapter.publish(publication)
    assert store.ids(config) == two(mode)
    assert store.held(config, month("2013-02")) == Held(publication.state)


def test_reads_and_staging_survive_a_few_errors(store: Store, proxy: Proxy) -> None:
    config = dataset()
    for method, part in (("PUT", "flowpipe-"), ("GET", "delays"), ("HEAD", "delays"), ("PUT", "_flowpipe/")):
        proxy.faulty(503, part, times=2, method=method)
        publication = store.publish(config, rows("2013-01", 1), fingerprint=f"{method}{part}")
        assert store.held(config) == Held(publication.state)
        assert store.ids(config) == [1]


def test_what_stays_wrong_is_told(store: Store, proxy: Proxy, bucket: Bucket) -> None:  # noqa: F811
    proxy.fault = lambda _method, _path: 503
    with pytest.raises(FlowpipeError) as caught:
        store.held(dataset())
    assert str(caught.value) == (
        f"cannot open the Delta table {bucket.url}/delays: the server answers 503 Service Unavailable\n"
        "  hint: run again; if it stays, look at the server"
    )
