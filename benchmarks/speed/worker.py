"""A process that measures one part of the record: `python -m benchmarks.speed.worker JOB RESULT`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.memory import ENVIRONMENT

_ROOT = Path(__file__).parents[2]


def measure_in_a_process(job: dict[str, Any]) -> Any:
    """Carry out a job in a fresh process, with its number of threads from the start.

    Args:
        job: `kind`, `plan`, `device`, `threads` and what the kind needs; see `carry_out`.

    Raises:
        RuntimeError: the process failed; what it said stands on the terminal.
    """
    threads = str(job["threads"])
    variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_MODULE_LOADING": "LAZY"}
    if job["kind"] == "memory":
        variables |= ENVIRONMENT
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.speed.worker", json.dumps(job), str(result)]
        finished = subprocess.run(command, cwd=_ROOT, env=os.environ | variables, check=False)
        if finished.returncode != 0:
            raise RuntimeError(
                f"measuring failed with exit status {finished.returncode}; the job was {json.dumps(job)}"
            )
        return json.loads(result.read_text(encoding="utf-8"))


def carry_out(job: dict[str, Any]) -> Any:
    """Carry out a job in this process."""
    # Imported here: who starts processes need not load what they measure.
    from benchmarks.speed import measurements
    from benchmarks.speed.plan import PLANS

    plan, device = PLANS[job["plan"]], job["device"]
    if job["kind"] == "environment":
        return measurements.environment(device)
    if job["kind"] == "steps":
        return measurements.measure_steps(plan, job["threads"], device)
    if job["kind"] == "sweeps":
        return measurements.measure_sweeps(plan, device)
    if job["kind"] == "maps":
        return measurements.measure_maps(plan, device)
    if job["kind"] == "memory":
        return measurements.measure_memory(plan, job["workload"], job["contestant"], device)
    if job["kind"] == "equality":
        return measurements.measure_equality(plan, device)
    return measurements.measure_data(plan)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(carry_out(json.loads(sys.argv[1]))), encoding="utf-8")
