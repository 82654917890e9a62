"""A TCP proxy before a real server that makes its network bad: connections cut, 500 and 503 answered, slow bytes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_CHUNK = 16 * 1024
Address = tuple[str, int] | str


@dataclass(frozen=True)
class Fault:
    """What happens to the first `times` connections; the others pass.

    `cut_after` cuts a connection once so many bytes went up through it; `status` is answered instead of what the server
    would have; `slow` is waited before every chunk that goes up.
    """

    times: int = 1_000_000
    cut_after: int | None = None
    status: int | None = None
    slow: float = 0.0


@dataclass
class Proxy:
    """Where it listens, how many connections it met, and how many of them its fault has struck."""

    upstream: Address
    fault: Fault
    port: int
    struck: int = 0
    met: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_struck(self) -> bool:
        """Whether the fault is for the connection that comes now."""
        with self._lock:
            self.met += 1
            return self.met <= self.fault.times

    def serve(self, client: socket.socket) -> None:
        """One connection to its end."""
        fault = self.fault if self.is_struck() else Fault()
        with contextlib.suppress(OSError), client:
            if fault.status:
                self._refuse(client, fault.status)
                return
            with _connect(self.upstream) as server:
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()
                self._up(client, server, fault)

    def _up(self, client: socket.socket, server: socket.socket, fault: Fault) -> None:
        sent = 0
        while chunk := client.recv(_CHUNK):
            if fault.slow:
                self.struck += 1
                time.sleep(fault.slow)
            if fault.cut_after is not None and sent + len(chunk) > fault.cut_after:
                server.sendall(chunk[: fault.cut_after - sent])
                self.struck += 1
                # Not only closed: the other thread waits for its words, and so keeps the connection alive.
                server.shutdown(socket.SHUT_RDWR)
                _reset(client)
                return
            server.sendall(chunk)
            sent += len(chunk)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        # What the server still says goes down by the other thread.
        time.sleep(0.05)

    def _refuse(self, client: socket.socket, status: int) -> None:
        """Answer one request with a status, whatever it is; its body is taken first."""
        head = b""
        while b"\r\n\r\n" not in head and (chunk := client.recv(_CHUNK)):
            head += chunk
        if not head:
            return
        self.struck += 1
        head, _, body = head.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length and (chunk := client.recv(_CHUNK)):
            body += chunk
        code = b"SlowDown" if status == 503 else b"InternalError"
        text = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>by the proxy</Message></Error>" % code
        client.sendall(
            b"HTTP/1.1 %d Refused\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (status, len(text), b"" if head.startswith(b"HEAD") else text)
        )


@contextmanager
def proxied(upstream: Address, fault: Fault) -> Iterator[Proxy]:
    """A proxy of this fault before an address or a Unix socket, while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = Proxy(upstream, fault, listening.getsockname()[1])
        threading.Thread(target=_accept, args=(listening, proxy), daemon=True).start()
        yield proxy
        # Wakes the thread that waits in `accept`.
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, proxy: Proxy) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listening.accept()
            threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()


def _connect(upstream: Address) -> socket.socket:
    if not isinstance(upstream, str):
        return socket.create_connection(upstream)
    server = socket.socket(socket.AF_UNIX)
    server.connect(upstream)
    return server


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset, as from a router that lost its power."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
