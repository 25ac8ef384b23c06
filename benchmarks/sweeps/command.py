"""`python -m benchmarks sweep NAME`: the runs of a file that have no record yet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jobs import INTERRUPTED, Carrier, carry_out, failed_line, print_failures
from benchmarks.pretraining import CACHE
from benchmarks.processes import Failure, check_cores
from benchmarks.records import RESULTS, Record, all_records
from benchmarks.refusals import refusal_path
from benchmarks.runner import record_path
from benchmarks.settings import RunPlan
from benchmarks.sweeps.cluster import carry_out_on_cluster
from benchmarks.sweeps.costs import Cost, estimate, in_words
from benchmarks.sweeps.files import find_sweep, read_sweep, sweep_names

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_sweep(commands: Commands) -> None:
    """Add the command to the bench's."""
    sweep = commands.add_parser(
        "sweep",
        help="carry out the runs of a file that have no record yet",
        description="Carry out the runs of a sweep, a TOML file, that have no record yet: first what it will cost, "
        "then run after run. Interrupt it as you like: what was finished has its record.",
    )
    sweep.add_argument("name", help=f"one of {', '.join(sweep_names())}, or the path of a TOML file")
    sweep.add_argument("--dry-run", action="store_true", help="say what it would do and cost, and do nothing")
    sweep.add_argument("--again", action="store_true", help="try runs that were refused once more")
    sweep.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side (default 1)")
    sweep.add_argument("--threads", type=int, default=1, help="of torch in each run (default 1)")
    sweep.add_argument("--cluster", metavar="ADDRESS", help="send the runs to a Dask scheduler, like tcp://host:8786")
    sweep.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    sweep.add_argument("--networks", type=Path, default=CACHE, help="folder of networks trained on experience 0")
    sweep.set_defaults(carry_out=run_sweep)


def run_sweep(parsed: argparse.Namespace) -> int:
    """Carry out the command; return the exit status.

    Raises:
        FileNotFoundError: there is no such sweep.
        ValueError: the file is wrong, there are too few cores, or no scheduler answers.
    """
    if parsed.cluster is None:
        check_cores(parsed.jobs, parsed.threads)
    sweep = read_sweep(find_sweep(parsed.name))
    parsed.results = sweep.results(parsed.results)
    left_over = [plan for plan in sweep.plans if not record_path(plan, parsed.results).exists()]
    waiting = [plan for plan in left_over if parsed.again or not refusal_path(plan, parsed.results).exists()]
    # A study of its own, in its own folder, may never have been run; the bench's records tell what it takes.
    cost = estimate(waiting, [*all_records(parsed.results), *(all_records(RESULTS) if sweep.folder else ())])
    n_refused = len(left_over) - len(waiting)
    refused = f", {n_refused} were refused (the table says why; --again tries them)" if n_refused else ""
    print(f"{sweep.title}: {len(sweep.plans)} runs, {len(sweep.plans) - len(left_over)} of them have a record{refused}")
    if waiting:
        print(f"{len(waiting)} to do: {cost.describe(parsed.jobs)}")
    if parsed.dry_run:
        for plan in waiting:
            seconds = cost.of_runs.get(plan.identifier)
            print(f"  {plan.identifier}: {'no record tells' if seconds is None else in_words(seconds)}")
    if parsed.dry_run or not waiting:
        return 0
    left = _TimeLeft(waiting, cost, parsed.jobs)
    try:
        failures = _carry_out(waiting, parsed, left)
    except KeyboardInterrupt:
        print("interrupted: what was finished has its record; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    refused_now = {plan.identifier for plan in waiting if refusal_path(plan, parsed.results).exists()}
    failures = [failure for failure in failures if failure.name not in refused_now]
    n_finished = len(waiting) - len(failures) - len(refused_now)
    and_refused = f", {len(refused_now)} refused" if refused_now else ""
    print(f"{len(waiting)} runs: {n_finished} finished, {len(failures)} failed{and_refused}")
    print_failures(failures)
    return 1 if failures else 0


def _carry_out(plans: Sequence[RunPlan], parsed: argparse.Namespace, left: _TimeLeft) -> list[Failure]:
    if parsed.cluster is None:
        carrier = Carrier(parsed.results, parsed.networks, parsed.threads, parsed.jobs)
        return carry_out(plans, carrier, left.line)

    def ended(plan: RunPlan, outcome: Any) -> None:
        print(failed_line(outcome) if isinstance(outcome, Failure) else left.line(plan, outcome), flush=True)

    return carry_out_on_cluster(plans, parsed.cluster, parsed.results, parsed.threads, ended)


class _TimeLeft:
    """Writes a line for each run that has ended, with what the rest will take at the pace so far.

    Args:
        plans: all runs.
        cost: what they were expected to take.
        n_jobs: at a time.
    """

    def __init__(self, plans: Sequence[RunPlan], cost: Cost, n_jobs: int) -> None:
        self._expected = cost
        self._waiting = {plan.identifier: plan for plan in plans}
        self._n_all, self._n_jobs = len(plans), n_jobs
        self._taken = self._foreseen = 0.0

    def line(self, plan: RunPlan, record: Record) -> str:
        """Describe a run that has ended."""
        self._waiting.pop(plan.identifier, None)
        seconds = record["seconds"] - record.get("first_seconds", 0.0)
        expected = self._expected.of_runs.get(plan.identifier)
        if expected is not None:
            self._taken, self._foreseen = self._taken + seconds, self._foreseen + expected
        return (
            f"{plan.identifier}: {100 * record['final_accuracy']:.2f} %, {record['memory_bytes']} bytes, "
            f"{seconds:.0f} s ({self._n_all - len(self._waiting)} of {self._n_all}{self._rest()})"
        )

    def _rest(self) -> str:
        if not self._waiting or self._foreseen == 0.0:
            return ""
        known = sum(self._expected.of_runs.get(name, 0.0) for name in self._waiting)
        return f", about {in_words(known * self._taken / self._foreseen / self._n_jobs)} left"
