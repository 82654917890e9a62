"""Which urls a store of files can have, and which of them are only read; nothing is opened to find out."""

from __future__ import annotations

from importlib.util import find_spec

from fsspec.registry import available_protocols, known_implementations

from flowpipe import objectstore
from flowpipe.adapters.files.layout import Finding
from flowpipe.errors import unknown
from flowpipe.validation import MalformedError

_PACKAGES = {"s3fs": '"flowpipe-etl[s3]"', "adlfs": "adlfs", "gcsfs": "gcsfs", "aiohttp": "aiohttp"}
_BEHIND = {"http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko"}
_READ_ONLY = ("http", "https", "github", "data")


def refuse_unknown(url: str) -> None:
    """Refuse a url that cannot be opened here.

    Raises:
        MalformedError: nobody knows it, or the library that does is not installed.
    """
    if not objectstore.is_remote(url):
        return
    scheme = _scheme(url)
    if scheme not in available_protocols():
        problem = unknown("kind of url", f"{scheme}://", [f"{known}://" for known in available_protocols()])
        raise MalformedError(problem.message, problem.hint or "")
    known = known_implementations.get(scheme, {}).get("class", "")
    library = _BEHIND.get(scheme, known.partition(".")[0])
    if library and find_spec(library) is None:
        message = f'"{scheme}://" urls need {library}, which is not installed'
        raise MalformedError(message, f"pip install {_PACKAGES.get(library, library)}")


def read_only(url: str) -> Finding | None:
    """What is wrong with writing below a url."""
    scheme = _scheme(url)
    if objectstore.is_remote(url) and scheme in _READ_ONLY:
        hint = "write it into another store: a folder, s3://, or any other url that can be written"
        return ("store",), f'"{scheme}://" is only read: its servers take no files', hint
    return None


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()
