"""A new project from a template: which there are, what a project is called, and what it consists of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flowpipe import sampledata, scaffold, schemas
from flowpipe.errors import UsageError, unknown
from flowpipe.roots import find_root
from flowpipe.sampledata import Database
from flowpipe.scaffold import NewFile, TextFile

_FOLDER = Path(__file__).with_name("templates")
# A template is itself a project that runs; this is its name.
_NAME = "my_project"


@dataclass(frozen=True)
class Template:
    """A template: what it shows, and the table to look at first."""

    shows: str
    look_at: str
    data: Callable[[], Iterator[NewFile]]


@dataclass(frozen=True)
class Started:
    """A project that was made, or completed."""

    folder: Path
    name: str
    template: Template
    written: tuple[str, ...]


def _minimal() -> Iterator[NewFile]:
    yield TextFile("data/raw/orders.csv", sampledata.named(sampledata.orders(60)).csv())


def _medallion() -> Iterator[NewFile]:
    for day, table in sampledata.daily(sampledata.orders(91)):
        yield TextFile(f"data/raw/orders/{day}.csv", table.csv())
    yield TextFile("data/raw/products.csv", sampledata.products().csv())


def _sql_sources() -> Iterator[NewFile]:
    yield Database("data/shop.duckdb", sampledata.shop(60))


TEMPLATES = {
    "minimal": Template("one CSV file, one pipeline, one table", "daily_sales", _minimal),
    "medallion": Template(
        "files of each day, cleaned and summed up by month, with a quarantine", "sales_report", _medallion
    ),
    "sql-sources": Template(
        "tables of a database, loaded bit by bit, with their history, and SQL", "city_sales", _sql_sources
    ),
}


def start(folder: Path, template: str) -> Started:
    """Make a project in `folder`; what is there already is kept.

    Raises:
        UsageError: there is no such template, the folder is inside a project, or other files are in the way.
    """
    if template not in TEMPLATES:
        raise UsageError.of([unknown("template", template, TEMPLATES)])
    chosen, place = TEMPLATES[template], folder.resolve()
    hint = "choose an empty folder: flowpipe init NAME"
    if root := _project_at(place):
        if root != place:
            text = f"{place} is inside a flowpipe project: {root}"
            raise UsageError(text, hint="`flowpipe new` adds to that project; or choose a folder outside it")
        hint = "this is a flowpipe project already: `flowpipe new` adds to it"
    name = name_of(place)
    return Started(folder, name, chosen, tuple(scaffold.write(place, [*_files(template, name)], hint=hint)))


def name_of(folder: Path) -> str:
    """What the project in a folder is called: letters, digits and _.

    >>> name_of(Path("/home/me/my shop!")), name_of(Path("/srv/2024")), name_of(Path("/"))
    ('my_shop', 'project_2024', 'project')
    """
    name = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    return name if name[:1].isalpha() else f"project_{name}".rstrip("_")


def _project_at(folder: Path) -> Path | None:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        return find_root(existing)
    except UsageError:
        return None


def _files(template: str, name: str) -> Iterator[NewFile]:
    """All files of a project; the one that makes the folder a project comes last, so that half of one is none."""
    folder = _FOLDER / template.replace("-", "_")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    texts = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in found}
    last = texts.pop("conf/project.yml")
    yield from (TextFile(path, text.replace(_NAME, name)) for path, text in texts.items())
    yield from (TextFile(f"conf/schema/{kind}.json", schemas.as_text(schemas.schema(kind))) for kind in schemas.FILES)
    yield from TEMPLATES[template].data()
    yield TextFile("conf/project.yml", last.replace(_NAME, name))
