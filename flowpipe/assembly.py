"""All pipelines of a project: loaded, bound to the catalog and put in order; or all that is wrong with them."""

from __future__ import annotations

from functools import partial

from flowpipe import executors, interplay, pipeline, shelf
from flowpipe.binding import Binder
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.config import Configuration
from flowpipe.errors import ConfigError, FlowpipeError
from flowpipe.modules import ProjectCode


def bound(configuration: Configuration, catalog: Catalog, code: ProjectCode) -> dict[str, Bound]:
    """The pipelines in the order in which they run; opens no store.

    Raises:
        ConfigError: all problems of all of them.
    """
    problems = [*configuration.problems, *catalog.store_problems]
    problems += [*executors.problems(configuration.executor, configuration), *shelf.problems(configuration)]
    problems += interplay.shared_writes(configuration)
    written = frozenset(name for p in configuration.pipelines.values() for name in p.writes.values())
    found: dict[str, Bound] = {}
    used: set[tuple[str, str]] = set()
    for name, settings in configuration.pipelines.items():
        try:
            graph = pipeline.load(name, code, settings, partial(configuration.where, "pipelines", name))
        except FlowpipeError as error:
            problems += error.problems
            used |= {(name, param) for param in settings.params}
            continue
        binder = Binder(name, configuration, catalog, code, graph, written)
        found[name] = binder.bind()
        problems += binder.problems
        used |= {(name, param) for param in binder.used_params}
    if not configuration.problems:
        # Otherwise a param may be meant for a pipeline that is left out.
        problems += interplay.unused_params(configuration, found, used)
    order, cycle = interplay.ordered(configuration, found)
    problems += cycle
    if problems:
        raise ConfigError(problems)
    return {name: found[name] for name in order}
