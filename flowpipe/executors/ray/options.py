"""How a profile says which Ray cluster: one that runs, or an instance of our own while the run lasts."""

from __future__ import annotations

import os
import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from flowpipe.validation import MalformedError, Model


def _workers() -> int:
    return os.cpu_count() or 1


class RayOptions(Model):
    """`ray`: without an `address`, an instance on this machine that ends with the run."""

    address: str = Field(
        "local", description="local, auto (the cluster that runs on this machine), HOST:PORT, or ray://HOST:PORT"
    )
    workers: int = Field(
        default_factory=_workers, ge=1, description="CPUs of an instance of our own; as many as there are if absent"
    )
    object_store_memory: int | None = Field(
        None,
        ge=80_000_000,
        description="bytes that an instance of our own keeps values in; 30 % of the memory if absent",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="for ray.init, such as runtime_env and namespace"
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        if address not in {"local", "auto"} and not re.fullmatch(r"(ray://)?[^/\s]+:\d+", address):
            raise MalformedError(
                f'"{address}" is no address of a Ray cluster', "write local, auto, HOST:PORT or ray://HOST:PORT"
            )
        return address

    @model_validator(mode="after")
    def _is_one_cluster(self) -> RayOptions:
        given = [name for name in ("workers", "object_store_memory") if name in self.model_fields_set]
        if self.address != "local" and given:
            raise MalformedError(
                f"{' and '.join(given)} is for an instance of our own, and there is an address",
                "leave one out: the nodes of a running cluster have their own",
            )
        return self
