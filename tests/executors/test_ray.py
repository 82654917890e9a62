"""Ray: the suite on an instance of our own, and faults on a real cluster of two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_suite import ExecutorSuite

from flowpipe.executors import Executor, Site
from flowpipe.executors.ray import Ray
from flowpipe.executors.ray.options import RayOptions
from flowpipe.importer import Importer


def site(folder: Path) -> Site:
    (folder / "code").mkdir(exist_ok=True)
    return Site("run", folder / "scratch", Importer.of(folder / "code"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ray]:
    """An instance of our own for the whole module."""
    executor = Ray(RayOptions(workers=2), site(tmp_path_factory.mktemp("ray")))
    yield executor
    executor.close()


class TestLocal(ExecutorSuite):
    many = 300

    @pytest.fixture
    def executor(self, local: Ray) -> Iterator[Executor]:
        return local
