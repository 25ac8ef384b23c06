"""Runs on the workers of a Dask cluster that somebody has started: on a cluster's queue, or by hand.

A worker needs this checkout on its `PYTHONPATH` and the data where its own `AVALANCHE_SNN_DATA` points. Records come
back to the process that asked for them, which writes them: workers share no folder with it. Of a worker that dies, its
run goes to another; a run is recorded once, because only the answer that counts comes back.
"""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.files import write_whole
from benchmarks.processes import Failure, failure_of
from benchmarks.progress import EpochReached
from benchmarks.records import Record, write_record
from benchmarks.refusals import refusal_path
from benchmarks.runner import record_path, run, shared_network
from benchmarks.settings import RunPlan

_CONNECT_SECONDS = 20
# Random generators belong to the whole process: runs in the threads of one worker take turns.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """What a worker sends back.

    Attributes:
        outcome: the record, or why there is none.
        networks: file name -> content of the networks after experience 0 that the run made or was given.
        refusal: content of the file that says why the run was refused, if it was.
    """

    outcome: Record | Failure
    networks: dict[str, bytes]
    refusal: bytes | None = None


def carry_out_on_cluster(
    plans: Sequence[RunPlan], address: str, results: Path, n_threads: int, ended: Callable[[RunPlan, Any], None]
) -> list[Failure]:
    """Carry out runs on a Dask cluster and write their records here.

    The first of the runs that begin with the same network trains it, and it goes to the others from there.

    Args:
        plans: the runs.
        address: of the scheduler, like "tcp://host:8786".
        results: folder of records, on this machine.
        n_threads: of torch, for each run.
        ended: is told of each run as it ends, with its record or its `Failure`.

    Returns:
        The runs that failed.

    Raises:
        ValueError: there is no `distributed`, or no scheduler answers.
    """
    failures: list[Failure] = []
    dask = _dask()
    with _client(dask, address) as client:
        waiting = dict(_submit(client, plans, n_threads))
        for future in dask.as_completed(list(waiting)):
            plan = waiting.pop(future)
            found = _answer_of(future, plan)
            future.release()
            outcome = found.outcome
            if found.refusal is not None:
                write_whole(refusal_path(plan, results), found.refusal)
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                write_record(outcome, record_path(plan, results))
            ended(plan, outcome)
    return failures


def _submit(client: Any, plans: Sequence[RunPlan], n_threads: int) -> Iterator[tuple[Any, RunPlan]]:
    groups: dict[str | None, list[RunPlan]] = defaultdict(list)
    for plan in plans:
        groups[shared_network(plan)].append(plan)
    rank = {plan.identifier: number for number, plan in enumerate(plans)}
    for shared, members in groups.items():
        first: Any = None
        for plan in members:
            # No key of its own: the same run may be asked for again, by another process or with --again.
            future = client.submit(answer, plan, first, n_threads, pure=False, priority=-rank[plan.identifier])
            if first is None and shared is not None:
                first = future
            yield future, plan


def answer(plan: RunPlan, before: Answer | None, n_threads: int) -> Answer:
    """Carry out a run, on a worker.

    Args:
        plan: the run.
        before: the answer of a run that began with the same network; None for the first.
        n_threads: of torch.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        networks, results = Path(folder) / "networks", Path(folder) / "results"
        networks.mkdir()
        for name, content in (before.networks if before is not None else {}).items():
            write_whole(networks / name, content)
        torch.set_num_threads(n_threads)
        outcome: Record | Failure
        try:
            outcome = run(plan, results, cache=networks, view=_Silence())
        except Exception as error:
            outcome = failure_of(plan.identifier, error)
        refused = refusal_path(plan, results)
        return Answer(
            outcome,
            {path.name: path.read_bytes() for path in networks.glob("*.pt")},
            refused.read_bytes() if refused.exists() else None,
        )


def _answer_of(future: Any, plan: RunPlan) -> Answer:
    try:
        found: Answer = future.result()
    except Exception as error:  # Dask's own: the worker died too often, was stopped, cannot import the bench
        return Answer(Failure(plan.identifier, f"{type(error).__name__}: {error}"), {})
    return found


def _dask() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ValueError("--cluster needs Dask: pip install distributed (this project's extra [cluster]).") from error
    return distributed


def _client(dask: Any, address: str) -> Any:
    try:
        return dask.Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"No Dask scheduler answers at {address!r} ({error}): start one (`dask scheduler`), or give the address "
            "that yours prints, like tcp://host:8786."
        ) from error


class _Silence:
    """A run's view on a worker, where nobody looks."""

    def reached(self, epoch: EpochReached) -> None:
        """Say nothing."""

    def network_is_ready(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""
