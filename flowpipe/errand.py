"""A whole step as one call on a worker: which steps go there, what goes along, what comes back.

A worker reads, computes, stages and audits, where the step's stores can be opened by any process; what it staged comes
back as names of files, to be decided and published by the driver. That is cheaper than sending each node where several
steps run at once, and where nodes only make plans of lazy frames, whose work is done when they are staged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path

import cloudpickle

from flowpipe import memory, pipeline
from flowpipe.adapters import Dataset
from flowpipe.binding import Binder
from flowpipe.bound import Bound
from flowpipe.catalog import Catalog
from flowpipe.checkpoints import Checkpoints
from flowpipe.config import Configuration, ExecutorConfig
from flowpipe.errors import FlowpipeError, NodeError, unexpected
from flowpipe.executors import Site, WorkerLost, create
from flowpipe.executors.retry import Policy
from flowpipe.executors.scheduler import Scheduler
from flowpipe.executors.task import Failure, NodesFailed, NodeTimeout, Settings, Task, Watch
from flowpipe.executors.travelling import TravellingError
from flowpipe.executors.worker import label
from flowpipe.firing import HookPool
from flowpipe.frames import kind_of
from flowpipe.importer import Importer
from flowpipe.modules import ProjectCode
from flowpipe.partition import Slice
from flowpipe.plan import Step
from flowpipe.records import Record
from flowpipe.running import RetryConfig
from flowpipe.step import run_step
from flowpipe.stop import Stop
from flowpipe.workshop import Decidable, Workshop, out_of_time


@dataclass(frozen=True)
class Errand:
    """A step to be run elsewhere; `project` is the pickled configuration with the project's modules."""

    project: bytes
    pipeline: str
    slice: Slice
    run: str
    run_time: datetime
    scratch: Path
    force: bool


@dataclass(frozen=True)
class Returned:
    """What a step came to, and what it told on the way."""

    result: Decidable | tuple[str, ...] | TravellingError
    records: tuple[Record, ...]


class Errands:
    """Runs the steps of one plan, as a whole on a worker or node by node."""

    def __init__(self, shop: Workshop, steps: Sequence[Step]) -> None:
        self._shop = shop
        wanted = Counter(step.bound.name for step in steps if step.action != "skip")
        self._whole = {
            step.bound.name for step in steps if self._may_go(step.bound, at_once=wanted[step.bound.name] > 1)
        }

    def run(self, step: Step, shop: Workshop) -> Decidable | tuple[str, ...]:
        """Run a step until it can be decided, or the reasons why it was up to date.

        Raises:
            FlowpipeError: what went wrong; nothing of the step is visible.
        """
        if step.bound.name not in self._whole:
            return run_step(step, shop)
        returned = self._sent(step, shop)
        for record in returned.records:
            shop.emit(record)
        if isinstance(returned.result, TravellingError):
            raise returned.result.error()
        return returned.result

    def _may_go(self, bound: Bound, *, at_once: bool) -> bool:
        """Whether a pipeline's steps can be run by any process, and are better run so."""
        executor, graph = self._shop.scheduler.executor, bound.graph
        if not (executor.isolated and executor.shares_disk) or bound.needs_the_driver:
            return False
        datasets = [read.dataset for read in bound.reads.values()] + [write.dataset for write in bound.writes]
        if any(self._is_the_drivers(dataset) for dataset in datasets):
            return False
        above = graph.upstream(write.node for write in bound.writes) & graph.nodes.keys()
        return at_once or all(kind_of(graph.nodes[name].annotation) == "lazy" for name in above)

    def _is_the_drivers(self, dataset: Dataset) -> bool:
        """Whether a dataset's store must be asked by the driver: nobody else can, or it counts the failures."""
        if self._shop.configuration.stores[dataset.config.store].breaker:
            return True
        return bool(getattr(self._shop.catalog.adapter(dataset), "driver_only", False))

    def _sent(self, step: Step, shop: Workshop) -> Returned:
        shop.scratch.mkdir(parents=True, exist_ok=True)  # by which a worker knows that it sees our disk
        errand = Errand(self._project, step.bound.name, step.slice, shop.run, shop.run_time, shop.scratch, shop.force)
        # Nodes are tried again over there; only a worker that died is begun anew.
        retry = RetryConfig(attempts=step.bound.config.retry.attempts, errors=[])
        settings = Settings(Policy(retry), step.bound.timeout)
        task = Task(step.name, perform, {"errand": "errand"}, settings)
        watch = Watch(shop.stop.check, lambda _, value: value, lambda _: None)
        try:
            values = shop.scheduler.run([task], {"errand": errand}, [step.name], watch)
        except NodesFailed as failed:
            raise _told(step, failed.failures[0]) from failed.failures[0].error
        returned: Returned = values[step.name]
        return returned

    @cached_property
    def _project(self) -> bytes:
        shop = self._shop
        return bytes(cloudpickle.dumps((shop.configuration, shop.code.importer)))


def perform(errand: Errand) -> Returned:
    """Run a step on a worker."""
    if not errand.scratch.is_dir():
        return Returned(TravellingError.of(_blind(errand)), ())
    configuration, code, importer = _opened(errand.project)
    records: list[Record] = []
    catalog = Catalog(configuration)
    site = Site(errand.run, errand.scratch, importer)
    executor = create(ExecutorConfig(type="threads"), configuration, site)
    shop = Workshop(
        run=errand.run,
        run_time=errand.run_time,
        configuration=configuration,
        code=code,
        catalog=catalog,
        scheduler=Scheduler(executor, label()),
        checkpoints=Checkpoints.of(configuration, force=errand.force),
        scratch=errand.scratch,
        force=errand.force,
        emit=records.append,
        stop=Stop(),
        hooks=HookPool(str),
    )
    result: Decidable | tuple[str, ...] | TravellingError
    try:
        bound = _bound(errand.project, errand.pipeline)
        with memory.bounded(configuration.memory_budget, errand.scratch / "spill", alone=False):
            result = run_step(Step(bound, errand.slice, ()), shop)
    except FlowpipeError as error:
        result = TravellingError.of(error)
    finally:
        executor.close()
        catalog.close()
    return Returned(result, tuple(records))


@lru_cache(maxsize=2)
def _opened(project: bytes) -> tuple[Configuration, ProjectCode, Importer]:
    configuration, importer = cloudpickle.loads(project)
    return configuration, ProjectCode(configuration.code, importer), importer


@lru_cache(maxsize=64)
def _bound(project: bytes, name: str) -> Bound:
    """A pipeline as the driver has bound it, which found no problems."""
    configuration, code, _ = _opened(project)
    graph = pipeline.load(name, code, configuration.pipelines[name])
    written = frozenset(name for each in configuration.pipelines.values() for name in each.writes.values())
    return Binder(name, configuration, Catalog(configuration), code, graph, written).bind()


def _blind(errand: Errand) -> FlowpipeError:
    """The error of a worker that came later than those which were asked whether they see the driver's disk."""
    return FlowpipeError(
        f"a step of {errand.pipeline} came to {label()}, which does not see {errand.scratch} of the driver",
        hint="share the project's folder with every worker under the same path",
    )


def _told(step: Step, failure: Failure) -> FlowpipeError:
    """What ended a step that did not come back."""
    if isinstance(failure.error, FlowpipeError):
        return failure.error
    if isinstance(failure.error, NodeTimeout):
        return out_of_time(step.bound, step.slice)
    if not isinstance(failure.error, WorkerLost):
        return unexpected(failure.error)
    times = f" after {failure.attempts} attempts" if failure.attempts > 1 else ""
    return NodeError(
        f"step {step.name} failed{times}: {failure.error}",
        hint="give its nodes less memory to take, or run it with `executor: {type: threads}` to see more",
    )
