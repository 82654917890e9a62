"""Whether an address is one of this machine's; asks no name server."""

from __future__ import annotations

import platform
import socket
from ipaddress import ip_address

_OUR_NAMES = ("localhost", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def host_of(address: str) -> str:
    """The host of an address.

    >>> host_of("tcp://10.0.0.5:8786"), host_of("[::1]:8786"), host_of("ray://head:10001")
    ('10.0.0.5', '::1', 'head')
    """
    return address.rpartition("://")[2].rpartition(":")[0].strip("[]")


def is_here(host: str) -> bool:
    """Whether a host is this machine, as far as that is known.

    >>> is_here("127.0.0.1"), is_here("localhost"), is_here("192.0.2.1"), is_here("head.example")
    (True, True, False, False)
    """
    if host in _OUR_NAMES or host == platform.node():
        return True
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as door:
            door.bind((host, 0))  # which only addresses of one's own allow
    except (OSError, ValueError):
        return False
    return True
