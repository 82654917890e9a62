"""How a profile says which Dask cluster: one that runs, or one of our own while the run lasts."""

from __future__ import annotations

import os
import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from flowpipe.fields import Duration
from flowpipe.validation import MalformedError, Model

_ADDRESS = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):\d+(?:/.*)?")


def _workers() -> int:
    return os.cpu_count() or 1


class DaskOptions(Model):
    """`dask`: without an `address`, worker processes on this machine."""

    address: str | None = Field(None, description="of a running scheduler, like tcp://host:8786")
    workers: int = Field(
        default_factory=_workers, ge=1, description="worker processes on this machine; as many as CPUs if absent"
    )
    threads_per_worker: int = Field(1, ge=1, description="calls that one of them runs at once")
    wait_for_workers: Duration = Field("30s", description="how long a cluster may be without any worker")
    options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="for distributed.Client if there is an address, for distributed.LocalCluster if not",
    )

    @field_validator("address")
    @classmethod
    def _has_port(cls, address: str | None) -> str | None:
        if address and not _ADDRESS.fullmatch(address):
            raise MalformedError("the address is no place of a scheduler", "write it like tcp://host:8786")
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
