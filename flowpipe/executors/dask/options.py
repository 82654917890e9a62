"""How a profile says which Dask cluster: one that runs, or one of our own while the run lasts."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from flowpipe.fields import Duration, written
from flowpipe.interpolable import excludes, ruled
from flowpipe.validation import MalformedError, Model

_ADDRESS = r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]+(?:/.*)?"
_LIKE = "write it like tcp://host:8786"
_OWN_ALONE = excludes(
    "address", ["workers", "threads_per_worker"], "{other} is for a cluster of our own, and there is an address"
)


def _workers() -> int:
    return os.cpu_count() or 1


class DaskOptions(Model):
    """`dask`: without an `address`, worker processes on this machine."""

    model_config = ConfigDict(json_schema_extra=ruled([_OWN_ALONE]))

    address: Annotated[str, written("address", f"|{_ADDRESS}", _LIKE)] | None = Field(
        None,
        description="of a running scheduler; a cluster on this machine if absent",
        examples=["tcp://scheduler:8786"],
    )
    workers: int = Field(
        default_factory=_workers,
        ge=1,
        description="worker processes on this machine; as many as CPUs if absent",
        examples=[4],
    )
    threads_per_worker: int = Field(1, ge=1, description="calls that one of them runs at once")
    wait_for_workers: Duration = Field("30s", description="how long a cluster may be without any worker")
    options: dict[str, Any] = Field(
        {},
        repr=False,
        description="for distributed.Client if there is an address, for distributed.LocalCluster if not",
        examples=[{"memory_limit": "4GB"}],
    )

    @field_validator("address")
    @classmethod
    def _has_port(cls, address: str | None) -> str | None:
        if address and not re.fullmatch(_ADDRESS, address):
            raise MalformedError("the address is no place of a scheduler", _LIKE)
        return address

    @model_validator(mode="after")
    def _is_one_cluster(self) -> DaskOptions:
        given = [name for name in ("workers", "threads_per_worker") if name in self.model_fields_set]
        if self.address and given:
            raise MalformedError(
                f"{' and '.join(given)} is for a cluster of our own, and there is an address",
                "leave one out: the workers of a running cluster are its own",
            )
        return self
