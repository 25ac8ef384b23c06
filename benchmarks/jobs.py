"""A series of runs: one after the other in this process, or some at a time in processes of their own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.processes import Failure, Job, SharedIsReady, Tell, failure_of, run_in_processes
from benchmarks.progress import BarsSideBySide, EpochReached
from benchmarks.records import Record
from benchmarks.runner import run, shared_network
from benchmarks.settings import RunPlan

Describe = Callable[[RunPlan, Record], str]
#: Exit status, as shells report a command that Ctrl-C ended.
INTERRUPTED = 130


@dataclass(frozen=True)
class Carrier:
    """Carries out runs, in whatever process it is sent to.

    Attributes:
        results: folder of records.
        networks: folder of networks trained on experience 0.
        n_threads: of torch in each process.
        n_jobs: at most so many runs side by side.
        again: repeat runs that have a record.
    """

    results: Path
    networks: Path
    n_threads: int = 1
    n_jobs: int = 1
    again: bool = False

    def __call__(self, plan: RunPlan, tell: Tell | None = None) -> Record:
        """Carry out a run and return its record, telling how it goes on; with a progress bar if nobody is told."""
        torch.set_num_threads(self.n_threads)
        view = None
        if tell is not None:
            # tqdm would make a lock that other processes could share, which outlives a process that is killed.
            tqdm.set_lock(threading.RLock())
            view = _Teller(tell)
        return run(plan, self.results, again=self.again, cache=self.networks, view=view, jobs=self.n_jobs)


def carry_out(plans: Sequence[RunPlan], carrier: Carrier, describe: Describe) -> list[Failure]:
    """Carry out runs, as many at a time as the carrier says; one that fails does not stop the others.

    Args:
        plans: the runs.
        carrier: carries them out.
        describe: makes what is printed when a run has ended.

    Returns:
        The runs that failed.
    """
    carrier = replace(carrier, n_jobs=max(1, min(carrier.n_jobs, len(plans))))
    if carrier.n_jobs > 1:
        return _side_by_side(plans, carrier, describe)
    return _one_by_one(plans, carrier, describe)


def _one_by_one(plans: Sequence[RunPlan], carrier: Carrier, describe: Describe) -> list[Failure]:
    failures = []
    for plan in plans:
        try:
            record = carrier(plan)
        except Exception as error:  # noqa: PERF203 - a run takes minutes
            failures.append(failure_of(plan.identifier, error))
            print(failed_line(failures[-1]), flush=True)
        else:
            print(describe(plan, record), flush=True)
    return failures


def _side_by_side(plans: Sequence[RunPlan], carrier: Carrier, describe: Describe) -> list[Failure]:
    failures: list[Failure] = []

    def line(job: Job, outcome: Any) -> str:
        if isinstance(outcome, Failure):
            failures.append(outcome)
            return failed_line(outcome)
        return describe(job.payload, outcome)

    jobs = [
        Job(plan.identifier, label, plan, shared_network(plan))
        for plan, label in zip(plans, labels(plans), strict=True)
    ]
    bars = BarsSideBySide(len(plans), line)
    try:
        run_in_processes(jobs, carrier, carrier.n_jobs, carrier.n_threads, bars)
    finally:
        bars.close()
    return failures


def labels(plans: Sequence[RunPlan]) -> list[str]:
    """Name runs shortly, by what tells them from each other: seed, strategy, budget of the memory, benchmark."""
    rows = [(f"seed {plan.seed}", plan.strategy, str(plan.options.get("memory", "")), plan.benchmark) for plan in plans]
    differs = [len(set(column)) > 1 for column in zip(*rows, strict=True)]
    return [
        ", ".join(part for part, says in zip(row, differs, strict=True) if says and part) or plan.strategy
        for plan, row in zip(plans, rows, strict=True)
    ]


def print_failures(failures: Sequence[Failure]) -> None:
    """Print on standard error which runs failed, and why."""
    for failure in failures:
        print(f"failed: {failure.name}: {failure.reason}", file=sys.stderr)
        if failure.details:
            print(indent(failure.details.rstrip(), "    "), file=sys.stderr)


def failed_line(failure: Failure) -> str:
    """Describe a run that has failed, among those that have ended."""
    return f"{failure.name} failed: {failure.reason}"


class _Teller:
    """A run's view in another process than the one that shows it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def reached(self, epoch: EpochReached) -> None:
        """Tell how far the run has come."""
        self._tell(epoch)

    def network_is_ready(self) -> None:
        """Tell that runs with the same network can begin."""
        self._tell(SharedIsReady())

    def close(self) -> None:
        """Tell nothing: what the run came to is told by its process."""
