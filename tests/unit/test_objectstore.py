"""One set of S3 settings, spelled for each library, and where credentials come from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from flowpipe import objectstore
from flowpipe.errors import FlowpipeError
from flowpipe.objectstore import filesystem, fsspec_options, polars_options
from flowpipe.testing.servers import S3Server

FRIENDLY = {"key": "k", "secret": "s", "token": "t", "endpoint_url": "http://h:1", "region": "r"}
OBJECT_STORE = {
    "AWS_ACCESS_KEY_ID": "k", "aws_secret_access_key": "s", "aws_session_token": "t", "aws_endpoint": "http://h:1",
    "aws_region": "r"}  # fmt: skip


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    objectstore._session.cache_clear()


def options(settings: Mapping[str, Any]) -> dict[str, str]:
    found = polars_options("s3://bucket/x", settings) or {}
    return {name: value for name, value in found.items() if "retr" not in name}


@pytest.mark.parametrize("settings", [FRIENDLY, OBJECT_STORE])
def test_both_spellings_reach_every_library(settings: Mapping[str, str]) -> None:
    assert options(settings) == {
        "aws_access_key_id": "k", "aws_secret_access_key": "s", "aws_session_token": "t", "aws_region": "r",
        "aws_endpoint_url": "http://h:1", "aws_allow_http": "true"}  # fmt: skip
    assert fsspec_options("s3://bucket/x", settings) == {
        "use_listings_cache": False, "key": "k", "secret": "s", "token": "t", "endpoint_url": "http://h:1",
        "client_kwargs": {"region_name": "r"},
        "config_kwargs": {
            "s3": {"addressing_style": "path"}, "retries": {"max_attempts": 4, "mode": "standard"}}}  # fmt: skip


def test_the_environment_fills_what_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "env")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://env:1")
    assert options({"region": "r"})["aws_session_token"] == "env"
    assert options({"region": "r"})["aws_endpoint_url"] == "http://env:1"
    assert "aws_session_token" not in options({"key": "k", "secret": "s"}), "a token of other credentials"
    assert options({"anon": True}) == {
        "aws_skip_signature": "true", "aws_endpoint_url": "http://env:1", "aws_region": "us-east-1",
        "aws_allow_http": "true"}  # fmt: skip
    assert fsspec_options("s3://b", {"anon": "true"})["anon"] is True


def test_a_profile_of_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n"
        "[night]\naws_access_key_id = n\naws_secret_access_key = ns\naws_session_token = nt\n"
    )
    (tmp_path / "config").write_text("[profile night]\nregion = eu-central-1\n")
    assert options({})["aws_access_key_id"] == "d"
    assert "key" in fsspec_options("s3://b", {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env")
    assert options({})["aws_access_key_id"] == "env"
    assert options({"profile": "night"}) == {
        "aws_access_key_id": "n", "aws_secret_access_key": "ns", "aws_session_token": "nt",
        "aws_region": "eu-central-1"}  # fmt: skip
    with pytest.raises(FlowpipeError) as caught:
        options({"profile": "day"})
    assert str(caught.value) == (
        "The config profile (day) could not be found\n  hint: see `aws configure list-profiles`"
    )


def test_virtual_hosts() -> None:
    found = options({"path_style": False, "endpoint_url": "https://s3.example.org"})
    assert found["aws_virtual_hosted_style_request"] == "true"
    assert found["aws_endpoint_url"] == "https://bucket.s3.example.org"
    assert fsspec_options("s3://b", {"path_style": "False"})["config_kwargs"]["s3"] == {"addressing_style": "virtual"}


def test_other_stores_pass_through() -> None:
    assert polars_options("gs://b/x", {"google_service_account": "x", "n": 1}) == {
        "google_service_account": "x", "n": "1"}  # fmt: skip
    assert fsspec_options("az://b/x", {"account_name": "x"}) == {"account_name": "x"}
    assert polars_options("data/lake", {}) is None
    assert options({"conditional_put": "etag", "client_kwargs": {}}) == {"conditional_put": "etag"}


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(FlowpipeError) as caught:
        filesystem("s3://bucket/x", {"anon": True})
    assert str(caught.value) == (
        '"s3://" urls need s3fs, which is not installed\n  hint: pip install "flowpipe-etl[s3]"'
    )
    with pytest.raises(FlowpipeError) as caught:
        filesystem("nowhere://x", {})
    assert str(caught.value) == 'cannot open "nowhere://" urls: Protocol not known: nowhere'


def test_every_library_reads_what_the_others_wrote(s3_server: S3Server) -> None:
    settings = {"key": s3_server.key, "secret": s3_server.secret, "endpoint_url": s3_server.endpoint}
    url = f"s3://{s3_server.bucket}/objectstore"
    rows = pl.DataFrame({"n": [1, 2]})
    rows.write_parquet(f"{url}/x.parquet", storage_options=polars_options(url, settings))
    write_deltalake(f"{url}/t", rows, storage_options=polars_options(url, settings))
    fs, path = filesystem(url, settings)
    assert fs.size(f"{path}/x.parquet") > 0
    assert fs.exists(f"{path}/t/_delta_log/{0:020}.json")
    assert DeltaTable(f"{url}/t", storage_options=polars_options(url, settings)).version() == 0


@pytest.mark.parametrize(
    "said",
    ["Kernel error\n -> an error occurred while loading credentials", "GET http://169.254.169.254/latest: refused"],
)
def test_credentials_that_are_nowhere_are_told_as_such(said: str) -> None:
    assert objectstore.explain(OSError(said)) == (
        "no credentials were found",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or the store's options `key` and `secret`",
    )
