"""What Ray's own errors mean to a run: a worker was lost, the cluster was, or something must be changed."""

from __future__ import annotations

from flowpipe.errors import FlowpipeError
from flowpipe.executors import ClusterLost, WorkerLost


def told(error: BaseException, address: str, version: str) -> BaseException:
    """An error that came instead of a result, in a few words."""
    from ray import exceptions as of_ray

    if isinstance(error, of_ray.RayTaskError):
        cause = getattr(error, "cause", None)
        if isinstance(cause, of_ray.RayError):
            return told(cause, address, version)
        return _unusable(cause or error, version)
    if isinstance(error, of_ray.LocalRayletDiedError):
        return gone(address)
    kind = type(error).__name__
    for kinds, text in (
        (of_ray.OutOfMemoryError, "Ray killed its worker process, because the memory of its machine ran out"),
        ((of_ray.WorkerCrashedError, of_ray.NodeDiedError, of_ray.TaskCancelledError), "its worker process died"),
        (of_ray.ObjectLostError, f"a value was lost with the Ray node that held it, and is not made again ({kind})"),
    ):
        if isinstance(error, kinds):
            return WorkerLost(text)
    return _refused(error)


def gone(address: str) -> ClusterLost:
    """The error of all that comes after the cluster."""
    return ClusterLost(
        f"the Ray cluster at {address} is gone", hint="look whether its head runs; then run the same command again"
    )


def _refused(error: BaseException) -> FlowpipeError:
    from ray import exceptions as of_ray

    if isinstance(error, of_ray.RuntimeEnvSetupError):
        text = f"Ray could not set up the runtime_env: {_short(error)}"
        return FlowpipeError(text, hint="look at options: runtime_env of the executor")
    if isinstance(error, of_ray.ObjectStoreFullError | of_ray.OutOfDiskError):
        return FlowpipeError(
            "Ray has no room for the value, neither in its object store nor on disk",
            hint="give it more object_store_memory, or free the disk",
        )
    return FlowpipeError(f"Ray could not run it: {_short(error)}")


def _unusable(cause: BaseException, version: str) -> FlowpipeError:
    return FlowpipeError(
        f"flowpipe does not work on a worker of the Ray cluster: {_short(cause)}",
        hint=f"install flowpipe-etl {version} and what it needs on every Ray node, or name it in options: runtime_env",
    )


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
