"""Running the bench: each part in processes of its own, the record written after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.speed.plan import PLANS, SECTIONS
from benchmarks.speed.record import SpeedRecord, read_speed_record, write_speed_record
from benchmarks.speed.worker import measure_in_a_process

Measure = Callable[[dict[str, Any]], Any]


def measure(
    plan_name: str,
    path: Path,
    *,
    only: Sequence[str] = (),
    device: str = "cpu",
    carry_out: Measure = measure_in_a_process,
) -> SpeedRecord:
    """Measure and write the record, section by section.

    Args:
        plan_name: "full", "quick" or "tiny".
        path: of the record; with `only`, its other sections are kept.
        only: sections to measure, all where empty.
        device: "cpu" or "cuda".
        carry_out: carries out a job.

    Returns:
        The record.

    Raises:
        ValueError: an unknown section, or a record that is not to be mixed with this run.
    """
    unknown = [name for name in only if name not in SECTIONS]
    if unknown:
        raise ValueError(f"there is no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    quick = PLANS[plan_name].quick
    record: SpeedRecord = {"quick": quick}
    if only and path.exists():
        record = read_speed_record(path)
        if record["quick"] != quick:
            raise ValueError(
                f"{path} holds a {'quick' if record['quick'] else 'full'} run: it is not mixed with another"
            )
    run = _Run(plan_name, device, carry_out)
    environment = run.job("environment")
    for section in SECTIONS:
        if only and section not in only:
            continue
        record[section] = {"environment": environment, "results": getattr(run, section)()}
        write_speed_record(record, path)
    return record


class _Run:
    """Measures the sections: a method for each of `SECTIONS`."""

    def __init__(self, plan_name: str, device: str, carry_out: Measure) -> None:
        self.plan_name, self.plan = plan_name, PLANS[plan_name]
        self.device = device
        self._carry_out = carry_out

    def job(self, kind: str, threads: int = 1, **details: str) -> Any:
        """Carry out a job and return its result."""
        common = {"kind": kind, "plan": self.plan_name, "device": self.device, "threads": threads}
        return self._carry_out(common | details)

    def equality(self) -> Any:
        return self.job("equality")

    def memory(self) -> list[Any]:
        from benchmarks.speed.contestants import PRODUCTS, names

        pairs = [(name, who) for name in self.plan.memory for who in names(self.plan.workload(name), self.device)]
        pairs = [(name, who) for name, who in pairs if who != PRODUCTS]
        bar = tqdm(pairs, desc="memory of a step", unit="process", dynamic_ncols=True)
        return [self.job("memory", workload=name, contestant=who) for name, who in bar]

    def pipeline(self) -> Any:
        return self.job("pipeline")

    def steps(self) -> list[Any]:
        return [result for threads in self.plan.steps for result in self.job("steps", threads)]

    def maps(self) -> Any:
        return self.job("maps")

    def sweeps(self) -> Any:
        return self.job("sweeps")
