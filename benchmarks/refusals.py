"""Runs that the bench refuses, and why: one JSON file each, beside the records, so that tables can say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.files import write_json
from benchmarks.settings import RunPlan

_FOLDER = "refused"


@dataclass(frozen=True)
class Refusal:
    """A run that cannot be carried out.

    Attributes:
        benchmark, strategy, data_name, split, seed, settings: as in a record.
        reason: for people.
        least_bytes: the smallest memory that works, where only the memory is too small.
    """

    benchmark: str
    strategy: str
    data_name: str
    split: str
    seed: int
    settings: dict[str, Any]
    reason: str
    least_bytes: int | None = None


def refusal_path(plan: RunPlan, results: Path) -> Path:
    """Return where it stands that a run was refused, if it was."""
    return results / _FOLDER / f"{plan.identifier}.json"


def write_refusal(plan: RunPlan, data_name: str, error: ValueError, results: Path) -> None:
    """Write down that a run was refused, and with which error."""
    content = {
        "benchmark": plan.benchmark,
        "strategy": plan.strategy,
        "data_name": data_name,
        "split": plan.stream["split"],
        "seed": plan.seed,
        "settings": plan.settings,
        "reason": str(error),
        "least_bytes": getattr(error, "least_bytes", None),
    }
    write_json(refusal_path(plan, results), content)


def forget_refusal(plan: RunPlan, results: Path) -> None:
    """Forget that a run was refused: it has been carried out."""
    refusal_path(plan, results).unlink(missing_ok=True)


def all_refusals(results: Path) -> Iterator[Refusal]:
    """Yield the refusals beside a folder of records, but for those of short runs and of runs on validation data."""
    for path in sorted((results / _FOLDER).glob("*.json")):
        refusal = Refusal(**json.loads(path.read_text(encoding="utf-8")))
        if not refusal.settings["quick"] and refusal.settings["evaluate_on"] == "test":
            yield refusal
