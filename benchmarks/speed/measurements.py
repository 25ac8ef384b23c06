"""The parts of the record, each measured in one process."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from avalanche_snn.neurons import available_kernels
from benchmarks.speed import maps
from benchmarks.speed.contestants import PRODUCTS, SNNTORCH, Contestant, Missing, Network, make_all, names
from benchmarks.speed.equality import compare_kernels
from benchmarks.speed.memory import peak_of_a_step
from benchmarks.speed.plan import Plan
from benchmarks.speed.timing import time_in_turn
from benchmarks.speed.workloads import SWEEP_BASE, Workload, minibatch, sweep_workload, tiny

Result = dict[str, Any]

_PACKAGES = ("torch", "snntorch", "norse", "spikingjelly", "avalanche-snn", "avalanche-lib", "numpy")


def environment(device: str) -> Result:
    """Machine, versions and kernels, as they stand in the record."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "versions": {package: _version(package) for package in _PACKAGES},
        "kernels": available_kernels(device),
    }


def measure_steps(plan: Plan, n_threads: int, device: str) -> list[Result]:
    """Time everyone on each workload of a thread count; a workload whose data are not here says so."""
    torch.set_num_threads(n_threads)
    results = []
    for name in plan.steps[n_threads]:
        workload = plan.workload(name)
        label = f"{n_threads} {'thread' if n_threads == 1 else 'threads'}, {name}"
        common = {"workload": name, "threads": n_threads, "title": workload.title, "label": workload.label}
        try:
            timed = _time(workload, names(workload, device), plan.rounds_of(workload), device, label)
        except FileNotFoundError as error:
            timed = {"reason": str(error)}
        results.append(common | timed)
    return results


def measure_maps(plan: Plan, device: str) -> list[Result]:
    """Time neurons behind convolutions, alone and in a network; one thread."""
    torch.set_num_threads(1)
    results = []
    for workload in maps.workloads(device, tiny=plan.tiny):
        chosen = maps.names(workload, device)
        timed = _time_all(maps.make_maps(workload, chosen, device), chosen[0], plan.n_sweep_rounds, workload.title)
        results.append({"threads": 1, "title": workload.title, "label": workload.label} | timed)
    return results


def measure_sweeps(plan: Plan, device: str) -> list[Result]:
    """Time our kernels, snnTorch and the floor while one size of a small network changes; one thread."""
    torch.set_num_threads(1)
    base = f"{SWEEP_BASE.title}; {SWEEP_BASE.label}"
    results = []
    for varied, values in plan.sweeps.items():
        for value in values:
            workload = sweep_workload(varied, value)
            workload = tiny(workload) if plan.tiny else workload
            chosen = [name for name in names(workload, device) if "/" in name or name in (SNNTORCH, PRODUCTS)]
            timed = _time(workload, chosen, plan.n_sweep_rounds, device, f"{varied} = {value:g}")
            results.append({"varied": varied, "value": value, "base": base} | timed)
    return results


def measure_memory(plan: Plan, name: str, contestant: str, device: str) -> Result:
    """Measure the peak of one contestant; this has to be the first that the process does."""
    torch.set_num_threads(1)
    workload = plan.workload(name)
    common = {"workload": name, "title": workload.title, "label": workload.label, "contestant": contestant}
    try:
        ((_, made),) = make_all(workload, minibatch(workload), [contestant], device)
    except FileNotFoundError as error:
        return common | {"reason": str(error)}
    if isinstance(made, Missing):
        return common | {"reason": made.reason}
    if not isinstance(made, Network):
        raise ValueError(f"{contestant!r} has no memory to measure: wanted a network")
    return common | {"bytes": peak_of_a_step(made)}


def measure_equality(plan: Plan, device: str) -> list[Result]:
    """Count the spikes that differ from the reference's, by neuron, kernel and dtype."""
    torch.set_num_threads(1)
    results: list[Result] = []
    for neuron, name in tqdm(plan.equality.items(), desc="spikes of every kernel", unit="neuron", dynamic_ncols=True):
        workload = plan.workload(name)
        common = {"workload": name, "title": workload.title, "label": workload.label}
        try:
            results.extend(common | found for found in compare_kernels(workload, neuron, plan.n_cells, device))
        except FileNotFoundError as error:
            results.append(common | {"neuron": neuron, "reason": str(error)})
    return results


def measure_data(plan: Plan) -> Result:
    """Measure the loader, cached latents and the opening of data, with one thread; nothing without real data."""
    torch.set_num_threads(1)
    if not plan.pipeline:
        return {"reason": "not measured in a quick run"}
    # Imported here: it loads all of Avalanche, which the other processes do without.
    from benchmarks.speed.pipeline import measure_pipeline

    try:
        return measure_pipeline()
    except FileNotFoundError as error:
        return {"reason": str(error)}


def _time(workload: Workload, chosen: list[str], n_rounds: int, device: str, label: str) -> Result:
    data = minibatch(workload)
    made = make_all(workload, data, chosen, device, warm_up=True)
    timed = _time_all(made, SNNTORCH, n_rounds, label, other_base=f"reference/{workload.neurons[0]}")
    return {"input_density": data.density} | timed


def _time_all(
    made: Iterable[tuple[str, Contestant | Missing]], base: str, n_rounds: int, label: str, other_base: str = ""
) -> Result:
    """Time all who take part beside one of them, or another one where that one is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_of_them = dict(made)
        contestants = {name: one for name, one in all_of_them.items() if not isinstance(one, Missing)}
        base = base if base in contestants else other_base
        with tqdm(total=n_rounds, desc=label, unit="round", dynamic_ncols=True) as bar:
            times = time_in_turn(contestants, n_rounds, base, bar.update)
    return {
        "rounds": n_rounds,
        "compared_with": base,
        "times": times,
        "hidden_density": {name: contestant.hidden_density() for name, contestant in contestants.items()},
        "missing": {name: one.reason for name, one in all_of_them.items() if isinstance(one, Missing)},
    }


def _processor() -> str:
    """Model of the processor and whether it has wide vectors; what the system calls it elsewhere than on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2") if name in flags), "")
    return " ".join(part for part in (facts.get("model name", platform.processor()), vectors) if part)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
