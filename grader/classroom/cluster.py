"""Jobs on Dask: plain data goes out, plain data comes back, in the order in which it is done."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
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
    cluster. A job whose worker dies is given to another one. One that takes workers along even
    when nothing else is under way, or raises, has an ``error`` for a result. Raises
    :class:`~labkit.errors.CourseError` when the scheduler does not answer.
    """
    with _client(scheduler, workers or os.cpu_count() or 1, processes) as client:
        threads = sum(client.nthreads().values())
        suspects = []
        for job, future in _finished(client, work, jobs, shared, threads * AHEAD):
            result = _result(future)
            if result is None:
                suspects.append(job)
            else:
                yield job, result
        # Dask blames each task that a dead worker still had to do: alone, a job cannot hide.
        for job, future in _finished(client, work, suspects, shared, 1):
            died = {"error": "worker processes ended each time they graded it, also alone"}
            yield job, _result(future) or died


def _finished(
    client: Any, work: Work, jobs: Iterable[Job], shared: dict[str, Any], ahead: int
) -> Iterator[tuple[Job, Any]]:
    """Each job with its future, which is done; at most ``ahead`` jobs are under way."""
    from distributed import as_completed

    waiting = iter(jobs)
    done = as_completed(loop=client.loop)
    under_way: dict[str, Job] = {}
    common = None

    def start(number: int) -> None:
        nonlocal common
        for job in itertools.islice(waiting, number):
            if common is None or common.status == "error":
                # A task's result is made again when the worker that holds it dies; scattered data
                # is not.
                common = client.submit(dict, shared, pure=False)
            future = client.submit(work, job, common, pure=False)
            under_way[future.key] = job
            done.add(future)

    start(ahead)
    for future in done:
        yield under_way.pop(future.key), future
        future.release()
        start(1)


def look_at(scheduler: str) -> None:
    """Raise :class:`~labkit.errors.CourseError` when ``scheduler`` cannot be worked with."""
    with _client(scheduler, 0, False):
        pass


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
    with _connected(scheduler) as client:
        _meet(client, scheduler)
        yield client


def _connected(scheduler: str) -> Any:
    from distributed import Client

    if not re.fullmatch(r"(tcp|tls|ws|wss)://\S+:\d+", scheduler):
        raise CourseError(
            f"{scheduler} is no address of a scheduler: say it like tcp://HOST:8786, as “dask "
            "scheduler” prints it."
        )
    try:
        return Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        raise CourseError(
            f"The scheduler {scheduler} does not answer: start it with “./course exec dask "
            "scheduler”, or leave --scheduler out to grade on this machine."
        ) from None


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


def _result(future: Any) -> dict[str, Any] | None:
    """What the job came to; nothing where its workers died or took the result along."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except (KilledWorker, FutureCancelledError):
        return None
    except Exception as error:
        return {"error": f"the worker failed ({type(error).__name__}: {error})"}
