"""How a server is found, and what of that may be shown: everything but the password."""

from __future__ import annotations

# Annotations are no texts here: Pydantic would compile each at every start.
import os
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from flowpipe.adapters.postgres.types import LONGEST
from flowpipe.fields import Duration, duration, written
from flowpipe.interpolable import excludes, ruled
from flowpipe.validation import MalformedError, Model

_PARTS = ("host", "port", "user", "password", "dbname", "sslmode")
# A server that does not answer is not waited for longer; the name is what its list of connections shows.
_ALWAYS: dict[str, Any] = {
    "application_name": "flowpipe",
    "connect_timeout": 15,
    "client_encoding": "UTF8",
    "keepalives_idle": 60,
}
# The text forms of values must not depend on the server. Where a client's machine is gone, its locks soon are, too.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "default_transaction_isolation": "read committed",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}
_EXAMPLE = "write it like postgresql://user@host:5432/dbname"


class Options(Model):
    """Which server, as whom, and how long anything may take; what is not said comes from libpq's PG* variables."""

    model_config = ConfigDict(
        json_schema_extra=ruled([excludes("dsn", _PARTS, "dsn and {other} exclude each other: keep one of them")])
    )

    dsn: str | None = Field(
        None,
        repr=False,
        description="all in one: postgresql://user:password@host:5432/dbname",
        examples=["${env:WAREHOUSE_DSN}"],
    )
    host: str | None = Field(None, description="the server; PGHOST if absent", examples=["localhost"])
    port: int | None = Field(None, description="its port; PGPORT, or 5432, if absent", examples=[5432])
    user: str | None = Field(None, description="the role; PGUSER if absent", examples=["etl"])
    password: str | None = Field(
        None,
        repr=False,
        description="its password; PGPASSWORD or ~/.pgpass if absent",
        examples=["${env:PG_PASSWORD}", "${file:/run/secrets/pg}"],
    )
    dbname: str | None = Field(None, description="the database; PGDATABASE if absent", examples=["analytics"])
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="whether the connection is encrypted, as libpq has it; PGSSLMODE, or prefer, if absent"
    )
    schema_: Annotated[str, written("name", r"[\s\S]{1,63}", f"a schema's name has 1 to {LONGEST} bytes")] = Field(
        "public", alias="schema", description="where tables without a schema and the states are", examples=["analytics"]
    )
    statement_timeout: Duration | None = Field(None, description="how long one statement may run", examples=["10m"])
    lock_timeout: Duration | None = Field(
        None, description="how long to wait for somebody else's lock", examples=["30s"]
    )

    @model_validator(mode="before")
    @classmethod
    def _has_drivers(cls, options: Any) -> Any:
        if not all(map(find_spec, ("psycopg", "adbc_driver_postgresql"))):
            raise MalformedError("psycopg and ADBC are not installed", "pip install 'flowpipe-etl[postgres]'")
        return options

    @field_validator("dsn")
    @classmethod
    def _is_connection_string(cls, dsn: str | None) -> str | None:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            conninfo_to_dict(dsn or "")
        except ProgrammingError:
            raise MalformedError("the dsn is no connection string", _EXAMPLE) from None
        return dsn

    @field_validator("schema_")
    @classmethod
    def _is_name(cls, schema: str) -> str:
        if not 1 <= len(schema.encode()) <= LONGEST:
            raise MalformedError(f"a schema's name has 1 to {LONGEST} bytes", "PostgreSQL cuts longer ones")
        return schema

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        twice = [name for name in _PARTS if getattr(self, name) is not None] if self.dsn is not None else []
        if twice:
            raise MalformedError(f"dsn and {', '.join(twice)} exclude each other", "keep the dsn, or the parts")
        return self

    @property
    def conninfo(self) -> str:
        """What libpq takes, for both drivers."""
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        given = {name: getattr(self, name) for name in _PARTS}
        given |= conninfo_to_dict(self.dsn or "")
        return make_conninfo(**_ALWAYS | {name: value for name, value in given.items() if value is not None})

    @property
    def shown(self) -> str:
        """The database as people know it."""
        from psycopg.conninfo import conninfo_to_dict

        known = conninfo_to_dict(self.conninfo)
        name = known.get("dbname") or os.environ.get("PGDATABASE")
        host = known.get("host") or os.environ.get("PGHOST")
        return f"database {name}" + (f" on {host}" if host else "") if name else "the PostgreSQL database"

    @property
    def settings(self) -> dict[str, str]:
        """What every session is set to, where the server knows it."""
        timeouts = {"statement_timeout": self.statement_timeout, "lock_timeout": self.lock_timeout}
        return _SETTINGS | {
            name: f"{round(duration(text).total_seconds() * 1000)}ms" for name, text in timeouts.items() if text
        }
