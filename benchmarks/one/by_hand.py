"""The one-node project by hand: the libraries that flowpipe needs for it, and no more than they ask for."""

from __future__ import annotations

import os
import sys

os.environ["HAMILTON_AUTOLOAD_EXTENSIONS"] = "0"
sys.path.insert(0, "pipelines")

import sqlite3  # noqa: F401 - for a history
from importlib import import_module

import filelock  # noqa: F401 - so that two runs do not meet
import fsspec  # noqa: F401
import polars as pl
import pydantic  # noqa: F401 - for the configuration
import tenacity  # noqa: F401 - for retries
import typer  # noqa: F401 - for flags
import yaml  # noqa: F401
from hamilton import base, driver, registry

registry.disable_autoload()
for extension in ("polars", "polars_lazyframe"):
    registry.load_extension(extension)
nodes = driver.Builder().with_modules(import_module("double")).with_adapters(base.DictResult()).build()
numbers = pl.scan_csv("data/numbers.csv")
nodes.execute(["doubled"], inputs={"numbers": numbers})["doubled"].sink_parquet("data/doubled.parquet")
