"""Where the tables of a store are, and how their files are written."""

# Annotations are no texts here: Pydantic would compile each at every start.

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flowpipe.adapters.delta.check import PLAIN, is_plain
from flowpipe.fields import Bytes
from flowpipe.interpolation import without
from flowpipe.objectstore import is_remote
from flowpipe.validation import MalformedError

_SCHEMES = ("file", "s3", "s3a", "gs", "az", "adl", "abfs", "abfss")


class Options(BaseModel):
    """Where the tables are, and how their files are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="a folder of tables, relative to the project; or an object store's URL",
        examples=["data/lake", "s3://acme-lake"],
    )
    options: dict[str, Any] = Field(
        {},
        repr=False,
        description="the object store's: key, secret, endpoint_url, region, ...",
        examples=[{"region": "eu-central-1"}],
    )
    target_file_size: Bytes | None = Field(
        None, description="how large data files become; 128MB if absent", examples=["256MB"]
    )
    durability: Literal["fsync", "none"] = Field(
        "fsync", description="folders: fsync means that a power cut loses nothing that was published"
    )

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        scheme = url.partition("://")[0].lower() if "://" in url else "file"
        if scheme not in _SCHEMES:
            raise MalformedError(f'delta-rs cannot write to "{scheme}://"', f"it knows {', '.join(_SCHEMES)}")
        # A check that looks nothing up has the url as it is written.
        if is_remote(url) and not is_plain(without(url).partition("://")[2]):
            raise MalformedError(f'delta-rs quotes what "{url}" holds, and Polars does not', f"use only {PLAIN}")
        return url
