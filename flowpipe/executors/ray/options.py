"""How a profile says which Ray cluster: one that runs, or an instance of our own while the run lasts."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from flowpipe.fields import written
from flowpipe.interpolable import excludes, ruled
from flowpipe.validation import MalformedError, Model

_ADDRESS = r"local|auto|(?:ray://)?[^/\s]+:[0-9]+"
_FORMS = "write local, auto, HOST:PORT or ray://HOST:PORT"
_OWN_ALONE = excludes(
    "address",
    ["workers", "object_store_memory"],
    "{other} is for an instance of our own, and there is an address",
    unless=["local"],
)


def _workers() -> int:
    return os.cpu_count() or 1


class RayOptions(Model):
    """`ray`: without an `address`, an instance on this machine that ends with the run."""

    model_config = ConfigDict(json_schema_extra=ruled([_OWN_ALONE]))

    address: Annotated[str, written("address", _ADDRESS, _FORMS)] = Field(
        "local",
        description="local (an instance of our own), auto (the cluster that runs on this machine), HOST:PORT, or "
        "ray://HOST:PORT",
        examples=["auto", "ray://head:10001"],
    )
    workers: int = Field(
        default_factory=_workers,
        ge=1,
        description="CPUs of an instance of our own; as many as there are if absent",
        examples=[4],
    )
    object_store_memory: int | None = Field(
        None,
        ge=80_000_000,
        description="bytes that an instance of our own keeps values in; 30 % of the memory if absent",
        examples=[2_000_000_000],
    )
    options: dict[str, Any] = Field(
        {},
        repr=False,
        description="for ray.init, such as runtime_env and namespace",
        examples=[{"runtime_env": {"pip": ["requests"]}}],
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        if not re.fullmatch(_ADDRESS, address):
            raise MalformedError(f'"{address}" is no address of a Ray cluster', _FORMS)
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
