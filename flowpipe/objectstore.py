"""How one set of object store settings is spelled for Polars and delta-rs, and how for fsspec.

Settings of `s3://` may be written as s3fs names them (`key`, `secret`, `token`, `anon`, `profile`, `endpoint_url`), as
object_store does (`aws_access_key_id`, ...), or stand in the environment or the files of the AWS command line. What is
found nowhere (the role of a machine) each library finds by itself. Other stores' settings go through as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from flowpipe.errors import FlowpipeError

_S3 = ("s3", "s3a")
_LOCAL = ("file", "local")
_EXTRAS = {"s3": ("s3", "s3fs"), "s3a": ("s3", "s3fs")}
_NAMES = {
    # Spellings without `aws_`, in lower case, by the one used below.
    "key": ("key", "access_key_id"),
    "secret": ("secret", "secret_access_key"),
    "token": ("token", "session_token"),
    "region": ("region", "default_region", "region_name"),
    "endpoint_url": ("endpoint_url", "endpoint", "endpoint_url_s3"),
    "anon": ("anon", "skip_signature"),
    "profile": ("profile",),
    "path_style": ("path_style",),
    "virtual_hosted": ("virtual_hosted_style_request",),
    "allow_http": ("allow_http",),
}
_CANONICAL = {spelling: name for name, spellings in _NAMES.items() for spelling in spellings}
_ENVIRONMENT = {
    "key": ("AWS_ACCESS_KEY_ID",),
    "secret": ("AWS_SECRET_ACCESS_KEY",),
    "token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "profile": ("AWS_PROFILE",),
}
_CREDENTIALS = ("key", "secret", "token")
# delta-rs tries for three minutes; Polars' own bound of ten seconds has another name.
_PATIENCE = {"retry_timeout": "30s"}

_HINTS = {
    "NoSuchBucket": "make the bucket, or correct the store's `url`",
    **dict.fromkeys(
        ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken"),
        "look at the credentials: the store's options, the environment, the profile",
    ),
}
_OF_SYSTEM: dict[type[OSError], tuple[str, str]] = {
    NotADirectoryError: ("a file is where its folder should be", "correct the store's `url`"),
    PermissionError: ("access is denied", _HINTS["AccessDenied"]),
}


def is_remote(url: str) -> bool:
    """Whether a URL names something else than a folder of this machine.

    >>> is_remote("s3://bucket/prefix"), is_remote("data/lake"), is_remote("file:///data")
    (True, False, False)
    """
    return "://" in url and _scheme(url) not in _LOCAL


def polars_options(url: str, options: Mapping[str, Any]) -> dict[str, str] | None:
    """Settings as Polars and delta-rs take them (both ask object_store); None for a local folder.

    >>> polars_options("s3://b", {"key": "k", "secret": "s", "endpoint_url": "http://h:1"})["aws_allow_http"]
    'true'
    """
    if not is_remote(url):
        return None
    if _scheme(url) not in _S3:
        return {name: _text(value) for name, value in options.items()}
    found, others = _s3(options)
    names = {"key": "aws_access_key_id", "secret": "aws_secret_access_key", "token": "aws_session_token"}
    names |= {"region": "aws_region", "endpoint_url": "aws_endpoint_url"}
    spelled = {names[name]: _text(value) for name, value in found.items() if name in names}
    if "anon" in found:
        spelled["aws_skip_signature"] = "true"
    if "endpoint_url" in found:
        # Without a region object_store asks Amazon for the bucket's.
        spelled.setdefault("aws_region", "us-east-1")
        if str(found["endpoint_url"]).startswith("http://"):
            spelled["aws_allow_http"] = "true"
    if not _path_style(found):
        spelled["aws_virtual_hosted_style_request"] = "true"
        if "endpoint_url" in found:
            scheme, _, host = str(found["endpoint_url"]).partition("://")
            spelled["aws_endpoint_url"] = f"{scheme}://{_bucket(url)}.{host}"
    plain = {name: _text(value) for name, value in others.items() if not isinstance(value, Mapping)}
    return _PATIENCE | spelled | plain


def fsspec_options(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings as fsspec's file system of the URL takes them."""
    if _scheme(url) not in _S3:
        return dict(options)
    found, others = _s3(options)
    spelled: dict[str, Any] = {
        name: found[name] for name in ("key", "secret", "token", "endpoint_url") if name in found
    }
    if "anon" in found:
        spelled["anon"] = True
    nested = {name: dict(value) for name, value in others.items() if isinstance(value, Mapping)}
    client, config = nested.pop("client_kwargs", {}), nested.pop("config_kwargs", {})
    if "region" in found:
        client.setdefault("region_name", found["region"])
    elif "endpoint_url" in found:
        client.setdefault("region_name", "us-east-1")
    config.setdefault("s3", {"addressing_style": "path" if _path_style(found) else "virtual"})
    config.setdefault("retries", {"max_attempts": 4, "mode": "standard"})
    # A listing that is remembered hides what other writers did since.
    return {"use_listings_cache": False, "client_kwargs": client, "config_kwargs": config, **spelled, **nested}


def filesystem(url: str, options: Mapping[str, Any]) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL and the URL's path in it.

    Raises:
        FlowpipeError: the library that it needs is not installed.
    """
    try:
        fs, path = url_to_fs(url, **fsspec_options(url, options))
    except (ImportError, ValueError) as error:
        scheme = _scheme(url)
        extra, library = _EXTRAS.get(scheme, (None, None))
        if extra is None:
            raise FlowpipeError(f'cannot open "{scheme}://" urls: {error}') from error
        hint = f'pip install "flowpipe-etl[{extra}]"'
        raise FlowpipeError(f'"{scheme}://" urls need {library}, which is not installed', hint=hint) from error
    return fs, str(path)


def explain(error: Exception) -> tuple[str, str | None]:
    r"""What a store's answer says, in one line without traces and colours, and what to do about it.

    >>> explain(OSError("Kernel error\n <Error><Code>NoSuchBucket</Code><Message>It is not there</Message></Error>"))
    ('It is not there (NoSuchBucket)', "make the bucket, or correct the store's `url`")
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    text = re.split(r"\n\s+0: ", text)[0]  # where Rust is asked for them, its frames follow
    answer = re.search(r"<Code>(\w+)</Code>.*?<Message>([^<]*)</Message>", text, re.DOTALL)
    asked = "169.254.169.254" in text or "error occurred while loading credentials" in text
    if asked or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return "no credentials were found", (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or the store's options `key` and `secret`"
        )
    if answer:
        return f"{answer[2]} ({answer[1]})", _HINTS.get(answer[1])
    if isinstance(error, (NotADirectoryError, PermissionError)):
        return _OF_SYSTEM[type(error)]
    if status := re.search(r"non-2xx status code\W+(\d{3}[ A-Za-z]*)", text):
        return f"the server answers {status[1].strip()}", "run again; if it stays, look at the server"
    if "error sending request" in text or "Could not connect" in text or isinstance(error, ConnectionError):
        return "the server does not answer", "is `endpoint_url` right, and the server running?"
    lines = [line.strip(" \u21b3") for line in text.splitlines()]
    return " ".join(lines[:2]) if lines else type(error).__name__, None


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else "file"


def _bucket(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or str(value) in {"True", "False"} else str(value)


def _path_style(found: Mapping[str, Any]) -> bool:
    """Whether the bucket stands in the path, not in the host's name: so with all servers but Amazon's, by default."""
    if "path_style" in found:
        return _text(found["path_style"]) == "true"
    return _text(found.get("virtual_hosted", "false")) != "true"


def _s3(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings by their name here, those of the environment included; and the others as they were written."""
    given: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for written, value in options.items():
        name = _CANONICAL.get(written.lower().removeprefix("aws_"))
        if value not in (None, ""):
            (given if name else others)[name or written] = value
    if "anon" in given and _text(given["anon"]) != "true":
        del given["anon"]
    found = dict(given)
    # Half of the credentials from elsewhere would be somebody else's; a profile is meant where it is named.
    settled = _CREDENTIALS if given.keys() & {"key", "anon", "profile"} else ()
    for name, variables in _ENVIRONMENT.items():
        value = next((os.environ[one] for one in variables if os.environ.get(one)), None)
        if value and name not in found and name not in settled:
            found[name] = value
    if "key" not in found and "anon" not in found:
        found = _of_command_line(found.get("profile")) | found
    return found, others


def _of_command_line(profile: str | None) -> dict[str, str]:
    """What the files of the AWS command line say; credentials that expire are renewed there."""
    session = _session(profile)
    credentials = session and session.get_credentials()
    if not credentials:
        return {}
    now = credentials.get_frozen_credentials()
    found = {"key": now.access_key, "secret": now.secret_key, "token": now.token}
    found["region"] = session.get_config_variable("region")
    return {name: value for name, value in found.items() if value}


@lru_cache
def _session(profile: str | None) -> Any:
    try:
        from botocore.exceptions import ProfileNotFound
        from botocore.session import Session
    except ImportError:
        return None
    session = Session(profile=profile)
    try:
        chain = session.get_component("credential_provider")
    except ProfileNotFound as error:
        raise FlowpipeError(str(error), hint="see `aws configure list-profiles`") from error
    for provider in ("iam-role", "container-role"):
        # Every library asks the machine by itself, and only if it must.
        chain.remove(provider)
    return session
