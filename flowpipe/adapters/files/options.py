"""Where a store of files is, and how safely it is written."""

# Annotations are no texts here: Pydantic would compile each at every start.
from typing import Any, Literal

from pydantic import Field, field_validator

from flowpipe.adapters.files import urls
from flowpipe.validation import Model


class Options(Model):
    """Where the files are."""

    url: str = Field(
        description="a folder, relative to the project; or s3://BUCKET/PREFIX, or any url that fsspec knows",
        examples=["data/landing", "s3://acme-landing"],
    )
    options: dict[str, Any] = Field(
        {},
        description="of fsspec's file system: key, secret, endpoint_url, region, ...",
        repr=False,
        examples=[{"region": "eu-central-1"}],
    )
    durability: Literal["fsync", "none"] = Field(
        "fsync", description="folders: fsync means that a power cut loses nothing that was published"
    )

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        urls.refuse_unknown(url)
        return url
