"""A picture of a project: its pipelines, nodes, params and datasets, and each format that it is drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal, get_args

from flowpipe.bound import Bound
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, UsageError, unknown
from flowpipe.modules import ProjectCode
from flowpipe.picture.parts import Parts

Level = Literal["pipelines", "nodes"]
_MANY = 60  # nodes, from which on the pipelines are what one wants to see first


class Graph(Parts):
    """The graph of a project or of some of its pipelines; a notebook shows it as a picture."""

    @classmethod
    def of(
        cls,
        bounds: Mapping[str, Bound],
        configuration: Configuration,
        code: ProjectCode,
        pipelines: Sequence[str] = (),
        level: str | None = None,
    ) -> Graph:
        """Of these pipelines, or of all; without a level, nodes are shown while they are few or asked for.

        Raises:
            ConfigError: there is no pipeline of this name.
            UsageError: there is no such level.
        """
        from flowpipe.picture.gather import Gatherer

        if missing := [name for name in pipelines if name not in bounds]:
            raise ConfigError(unknown("pipeline", name, bounds) for name in missing)
        if level is not None and level not in get_args(Level):
            raise UsageError.of([unknown("level", level, get_args(Level))])
        if level is None:
            nodes = sum(len(bound.graph.nodes) for bound in bounds.values())
            level = "nodes" if pipelines or nodes <= _MANY else "pipelines"
        opened = (pipelines or bounds) if level == "nodes" else ()
        return cls(**vars(Gatherer(bounds, configuration, code, pipelines, opened).parts()))

    def svg(self) -> str:
        """As SVG; no program and no font is needed to draw it."""
        from flowpipe.picture.svg import svg

        return svg(self)

    def html(self) -> str:
        """As a page that needs no network: move and zoom, search, click to follow what flows where."""
        from flowpipe.picture.page import page

        return page(self)

    def mermaid(self) -> str:
        """As the text of a Mermaid flowchart."""
        from flowpipe.picture.mermaid import mermaid

        return mermaid(self)

    def dot(self) -> str:
        """As DOT, for Graphviz."""
        from flowpipe.picture.dot import dot

        return dot(self)

    def json(self) -> str:
        """As JSON, one line: `vertices`, `edges` and `groups`."""
        from flowpipe.terminal import as_json

        return as_json(asdict(self)) + "\n"

    def __repr__(self) -> str:
        return f"<graph {self.title}: {len(self.vertices)} boxes, {len(self.edges)} edges>"

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg()}</div>'
