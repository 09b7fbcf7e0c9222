"""Jobs on Dask: plain data goes out, plain data comes back, in the order in which it is done."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from labkit.errors import CourseError

#: Seconds that a scheduler, and the first of its workers, may take to answer.
PATIENCE = 10
#: Jobs for each thread that are under way or waiting there: more would only fill memory.
AHEAD = 3

Job = dict[str, Any]
Work = Callable[[Job, dict[str, Any]], dict[str, Any]]


def run(
    work: Work,
    jobs: Iterable[Job],
    shared: dict[str, Any],
    *,
    scheduler: str = "",
    workers: int = 0,
    processes: bool = False,
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Call ``work(job, shared)`` for each job, side by side; yields each job with its result.

    ``work`` is a function of a module, and all else is plain data. It runs in ``workers`` threads
    of this process (by default one for each processor), which suits work that waits for processes
    of its own; with ``processes`` in as many processes; with ``scheduler`` on the workers of a
    cluster. A job whose worker dies is given to another one; one that takes three workers along,
    or raises, has an ``error`` for a result. Raises :class:`~labkit.errors.CourseError` when the
    scheduler does not answer.
    """
    from distributed import as_completed

    waiting = iter(jobs)
    with _client(scheduler, workers or os.cpu_count() or 1, processes) as client:
        # A task's result is made again when the worker that holds it dies; scattered data is not.
        common = client.submit(dict, shared, pure=False)
        threads = sum(client.nthreads().values())
        done = as_completed(loop=client.loop)
        under_way: dict[str, Job] = {}

        def start(number: int) -> None:
            for job in itertools.islice(waiting, number):
                future = client.submit(work, job, common, pure=False)
                under_way[future.key] = job
                done.add(future)

        start(threads * AHEAD)
        for future in done:
            job = under_way.pop(future.key)
            if future.status == "finished":
                yield job, future.result()
            else:
                yield job, {"error": _reason(future)}
            future.release()
            start(1)


@contextlib.contextmanager
def _client(scheduler: str, workers: int, processes: bool) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    for name in ("distributed", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not scheduler:
        sizes = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1"}
        if not processes:
            sizes = {"n_workers": 1, "threads_per_worker": workers}
        with (
            # A worker here does little but wait: no limit of Dask's on memory may end it.
            dask.config.set({"distributed.worker.profile.enabled": False}),
            LocalCluster(
                **sizes,
                processes=processes,
                dashboard_address=None,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        raise CourseError(
            f"The scheduler {scheduler} does not answer: start it with “./course exec dask "
            "scheduler”, or leave --scheduler out to grade on this machine."
        ) from None
    with client:
        _meet(client, scheduler)
        yield client


def _meet(client: Any, scheduler: str) -> None:
    """Have workers that run this very course."""
    from grader.classroom.labs import code

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
        found = client.run(code)
    except TimeoutError:
        raise CourseError(
            f"The scheduler {scheduler} has no workers: start some with “./course exec dask worker "
            f"{scheduler} --nthreads 1”."
        ) from None
    except Exception:
        found = {"": ""}
    if set(found.values()) != {code()}:
        raise CourseError(
            f"The workers of {scheduler} run another version of this course, or of Python: start "
            "them in a copy of this very version."
        )


def _reason(future: Any) -> str:
    error = future.exception() if future.status == "error" else None
    if type(error).__name__ == "KilledWorker":
        return "three worker processes ended while they graded it"
    return f"the worker failed ({type(error).__name__ if error else future.status}: {error})"
