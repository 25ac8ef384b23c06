"""Choosing a strategy's options on validation data: every combination of its file's `GRID` is run, the best is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.catalogue import find_strategy, options_of
from benchmarks.choices import write_choice
from benchmarks.jobs import Carrier, Describe, carry_out
from benchmarks.plans import make_plans
from benchmarks.records import read_record
from benchmarks.runner import record_path
from benchmarks.settings import RunPlan

BENCHMARK = "multi_class_incremental"
SEED = 0
VALIDATION = 0.1


def grid_of(strategy: str) -> dict[str, Sequence[Any]]:
    """Return the values to try of each option, as the strategy's file lists them.

    Raises:
        ValueError: it lists none, or an option that it does not have.
    """
    grid: Mapping[str, Sequence[Any]] = getattr(find_strategy(strategy), "GRID", {})
    own = options_of(strategy)
    unknown = [name for name in grid if name not in own]
    if unknown or not grid:
        what = f"an option that it does not have, {unknown[0]!r}" if unknown else "nothing to choose from"
        raise ValueError(f"The GRID of strategy {strategy!r} has {what}.")
    return dict(grid)


def tuning_plans(strategy: str, **common: Any) -> list[RunPlan]:
    """Plan the runs that choose a strategy's options: the whole grid, on the validation stream.

    Args:
        strategy: its name.
        common: of all runs, as `make_plan` takes it.
    """
    common = {"validation": VALIDATION, **common}
    return make_plans([BENCHMARK], [strategy], seeds=[SEED], options=grid_of(strategy), **common)


def tune(strategy: str, plans: Sequence[RunPlan], carrier: Carrier, describe: Describe, path: Path) -> dict[str, Any]:
    """Carry out the runs that have no record yet and write down the options of the best one, the first among equals.

    Returns:
        The options chosen.

    Raises:
        ValueError: a run failed, or was evaluated on the test stream.
    """
    if any(plan.evaluate_on != "valid" for plan in plans):
        raise ValueError("Options are chosen on validation data: hold some out, with a fraction above 0.")
    waiting = [plan for plan in plans if carrier.again or not record_path(plan, carrier.results).exists()]
    failures = carry_out(waiting, carrier, describe)
    if failures:
        raise ValueError(f"{len(failures)} of {len(plans)} runs failed: nothing was chosen for {strategy!r}.")
    accuracies = {
        plan.identifier: float(read_record(record_path(plan, carrier.results))["final_accuracy"]) for plan in plans
    }
    best = max(plans, key=lambda plan: accuracies[plan.identifier])
    options = {name: best.options[name] for name in grid_of(strategy)}
    choice = {
        "options": options,
        "chosen_by": f"python -m benchmarks tune --strategy {strategy}",
        "benchmark": best.benchmark,
        "evaluate_on": best.evaluate_on,
        "seed": best.seed,
        "record": best.identifier,
        "final_accuracies": accuracies,
    }
    write_choice(strategy, choice, path)
    return options
