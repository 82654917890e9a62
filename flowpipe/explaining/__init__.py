"""What one name of a project stands for: where it comes from, who needs it, when it was last made, why it would run."""

from __future__ import annotations

from flowpipe.errors import UsageError, nearest, unknown
from flowpipe.explaining import dataset, node, pipeline
from flowpipe.explaining.surroundings import Surroundings as Surroundings
from flowpipe.facts import Explanation
from flowpipe.meanings import explanations, known_words


def explain(name: str, around: Surroundings) -> list[Explanation]:
    """All that a name is: a dataset, then nodes, then a pipeline, then an exit code or an error.

    Raises:
        UsageError: it is nothing of this project, nor a code.
    """
    found = [dataset.explain(name, around)] if name in around.catalog else []
    found += [node.explain(bound, name, around) for bound in around.bounds.values() if name in bound.graph.nodes]
    found += [pipeline.explain(around.bounds[name], around)] if name in around.bounds else []
    found += explanations(name)
    if not found:
        nodes = {known for bound in around.bounds.values() for known in bound.graph.nodes}
        own = {*around.catalog.names, *nodes, *around.bounds}
        # Codes and errors are always the same: they are told only to who comes near to one.
        known = {*own, *known_words()} if nearest(name, known_words()) else own
        raise UsageError.of([unknown("name", name, known, add="an exit code, such as 3")])
    return found
