"""Tests of nodes and datasets as YAML has them: what is given, what is expected, and where it is written."""

# Annotations are no texts here: Pydantic would compile each at every start.
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from flowpipe import conffile
from flowpipe.conffile import Document
from flowpipe.errors import ConfigError, Problem, Where, redact
from flowpipe.fields import Name
from flowpipe.validation import Model, validate


def _window_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _message(value: Any) -> Any:
    return {"message": value} if isinstance(value, str) else value


class ExpectedError(Model):
    """How something is to fail."""

    type: Literal["FlowpipeError", "ConfigError", "UsageError", "NodeError", "DataError", "PublishError"] = Field(
        "FlowpipeError", description="the kind of the error: a node failed, rows are not as their schema says, ..."
    )
    message: str = Field("", description="a part of its message")


class Case(Model):
    """One test: of a node, which is computed, or of a dataset, whose pipeline runs, with audits and publishes."""

    name: str = Field(min_length=1, description="what is tested, in words or as an identifier")
    node: str | None = Field(None, description="the node that is computed; nothing is published")
    dataset: str | None = Field(None, description="the dataset whose rows are looked at after its pipeline ran")
    pipeline: Name | None = Field(None, description="whose node it is, where several pipelines have it")
    params: dict[str, Any] = Field(default_factory=dict, description="other values of params")
    partition: Annotated[str, BeforeValidator(_window_text)] | None = Field(None, description="the window: 2024-01")
    given: dict[str, Any] = Field(
        default_factory=dict,
        description="rows of datasets (for a node also of other nodes): a table, a list of mappings, or {file: PATH}",
    )
    expect: Any = Field(None, description="the rows that come out, or a node's value; columns not named do not count")
    rejected: Any = Field(None, description="dataset: the rows that the audit keeps out; `checks` is why")
    expect_error: Annotated[ExpectedError, BeforeValidator(_message)] | None = Field(
        None, description="a part of the message with which it fails, or {type: DataError, message: ...}"
    )
    key: list[str] = Field(default_factory=list, description="columns that tell rows apart, for the message")
    ordered: bool = Field(False, description="whether rows must come in this order")
    approx: Annotated[float, Field(gt=0)] = Field(1e-9, description="how far fractions may be apart, as a share")


class CasesConfig(Model):
    """One `tests/test_*.yml`."""

    pipeline: Name | None = Field(None, description="of all tests that name none")
    profile: Name | None = Field(None, description="the profile with which the project is loaded")
    tests: Annotated[list[Case], Field(min_length=1)]


@dataclass(frozen=True)
class Cases:
    """One file of tests, with the place of every value."""

    path: Path
    document: Document
    config: CasesConfig

    def where(self, number: int, *path: str | int) -> Where | None:
        """The place of a value of a test, or of what is nearest around it."""
        return self.document.where(("tests", number, *path))

    def where_key(self, number: int, *path: str | int) -> Where | None:
        """The place of a key of a test."""
        return self.document.where_key(("tests", number, *path))

    def pipeline(self, number: int) -> str | None:
        """The pipeline that a test names, or the file for all of them."""
        return self.config.tests[number].pipeline or self.config.pipeline

    def hidden(self, text: str) -> str:
        """A text without what came through `${...}`."""
        return redact(text, self.document.secrets)


def read(path: Path, shown_as: str) -> Cases:
    """A file of tests.

    Raises:
        ConfigError: all that is wrong with it, whatever project it is for.
    """
    if path.suffix == ".yaml":
        hint = f"rename it to {path.stem}.yml"
        raise ConfigError([Problem("a file with this ending is not read", Where(shown_as), hint)])
    document = conffile.read(path, shown_as)
    config, problems = validate(CasesConfig, document.data, document)
    problems = [*document.problems, *problems]
    if isinstance(document.data, dict) and isinstance(document.data.get("tests"), list):
        problems += _flaws(document, document.data["tests"])
    if problems:
        raise ConfigError(problems)
    return Cases(path, document, config)


def _flaws(document: Document, tests: list[Any]) -> Iterator[Problem]:
    """What is wrong between the keys of tests."""
    seen: dict[str, Where | None] = {}
    for number, test in enumerate(tests):
        if not isinstance(test, dict):
            continue
        path, name = ("tests", number), test.get("name")
        if isinstance(name, str):
            if name in seen:
                hint = f"it is first given in line {getattr(seen[name], 'line', '?')}"
                yield Problem(f'there are two tests "{name}"', document.where((*path, "name")), hint)
            seen.setdefault(name, document.where((*path, "name")))
        yield from (Problem(text, document.where_key((*path, *at)), hint) for at, text, hint in _between(test))


def _between(test: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    asked = [key for key in ("node", "dataset") if test.get(key) is not None]
    if not asked:
        yield (), "a test is of a node or of a dataset", "write node: NAME or dataset: NAME"
    elif len(asked) == 2:
        yield ("dataset",), "node and dataset exclude each other", "make two tests of it"
    if asked == ["node"] and test.get("rejected") is not None:
        yield ("rejected",), "a node rejects no rows", "test the dataset that it is published as"
    outcomes = [key for key in ("expect", "rejected") if test.get(key) is not None]
    if test.get("expect_error") is not None and outcomes:
        yield ("expect_error",), f"{outcomes[0]} and expect_error exclude each other", "what fails gives nothing"
    elif test.get("expect_error") is None and not outcomes:
        yield (), "the test expects nothing", "write expect: and the rows that should come out"
