"""What workers on other machines may not see of a project: stores that are folders of the driver's machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flowpipe import executors
from flowpipe.bound import Bound
from flowpipe.config import Configuration
from flowpipe.errors import Problem
from flowpipe.objectstore import is_remote


def out_of_reach(configuration: Configuration, bounds: Iterable[Bound]) -> Iterator[Problem]:
    """The stores of pipelines that such workers read, or stage to."""
    prospect = executors.prospect(configuration.executor, configuration)
    if prospect is None or prospect.elsewhere is None:
        return
    reads = {read.dataset.config.store for bound in bounds for read in bound.reads.values()}
    for name in sorted(reads | {write.dataset.config.store for bound in bounds for write in bound.writes}):
        url = (configuration.stores[name].model_extra or {}).get("url")
        if isinstance(url, str) and configuration.is_resolved("stores", name, "url") and not is_remote(url):
            text = f"store {name} is a folder of this machine; workers at {prospect.elsewhere} may not see it"
            hint = "share it, and the project's folder, under the same path there, or use S3"
            yield Problem(text, configuration.where_key("stores", name), hint)
