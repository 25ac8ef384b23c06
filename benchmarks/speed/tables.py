"""The README's section on speed, made from the record and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markers import Markers
from benchmarks.speed.contestants import NORSE, PRODUCTS, SAVING, SNNTORCH, SNNTORCH_ZERO, SPIKINGJELLY
from benchmarks.speed.maps import NO_NEURONS
from benchmarks.speed.ours import ANY_ADAPTATION
from benchmarks.speed.record import SpeedRecord

MARKERS = Markers("speed", "python -m benchmarks speed --readme README.md")
"""Around the tables in README."""
TITLES = {
    SNNTORCH: "snnTorch",
    SNNTORCH_ZERO: "snnTorch, reset to zero",
    NORSE: "norse",
    SPIKINGJELLY: "SpikingJelly",
    PRODUCTS: "*dense products alone*",
    NO_NEURONS: "*without neurons*",
}
_MEASURED_FIRST = ("steps", "memory", "equality", "maps")
_NEURONS = {"delayed_synaptic": ", the paper's neuron"}
_NOTES = (
    "Medians; in brackets the quartiles of the ratio within a round. In a round everyone runs once, one after the "
    "other. Everyone has the same weights (the paper's neuron: others), scaled so that each hidden layer of ours "
    "spikes in {density:.0f} % of the cells; a step ends with Adamax. The minibatch is float32 and there before the "
    "clock starts, `[B, T, C]` for ours and `[T, B, C]`, their own order, for the others. Peak memory: by how much "
    "the resident memory of a fresh process rises during a step, freed blocks going back to the system at once. Saving "
    "memory: `RecurrentSNN(save_memory=True)`, membranes are computed again on the way back.",
    "Where the others differ: **snnTorch** (`RSynaptic`, step by step, its default reset by subtraction) has the same "
    "spikes as ours; its reset to zero, the paper's, computes each step twice. **norse** (`LIFRecurrent`, "
    "`LSNNRecurrent` in a `SequentialState`) resets to zero and at once, and its adaptation moves the threshold. "
    "**SpikingJelly** (multi-step `Linear`, `CUBALIFNode` in a recurrent container) resets at once. *Dense products "
    "alone*: all matrix products of a step as few large ones, and no neuron: what multiplies so cannot be faster.",
)


_NOTE_ON_MAPS = (
    "Neurons behind convolutions have no weights: everyone's decay is 0.5, the reset hard and in the step of the "
    "spike, the surrogate triangular; all have the same spikes. Alone they have no optimizer, and the step is both "
    "passes. *Without neurons*: what they would spike goes on as it came."
)


def speed_tables(record: SpeedRecord | None) -> str:
    """Return the section in Markdown; a sentence where there is no record yet."""
    if record is None:
        return "No record yet: `python -m benchmarks speed` takes one."
    steps = [result for result in record.get("steps", {}).get("results", []) if "times" in result]
    peaks = record.get("memory", {}).get("results", [])
    first = {workload: next(s for s in steps if s["workload"] == workload) for workload in _unique(steps, "workload")}
    shown = [result for name, result in first.items() if name in {peak["workload"] for peak in peaks}] or steps[:1]
    blocks = [_machine(record), *(_step_table(result, peaks) for result in shown)]
    others = [result for result in steps if result not in shown]
    if others:
        blocks.append(_other_steps(others))
    blocks += [*_maps(record), _equality(record), _pipeline(record), *(_missing(record))]
    if steps:
        blocks += [note.format(density=_hidden_percent(steps[0])) for note in _NOTES]
    if "maps" in record:
        blocks.append(_NOTE_ON_MAPS)
    return "\n\n".join(block for block in blocks if block)


def write_speed(tables: str, readme: Path) -> None:
    """Put the tables between the markers of a Markdown file.

    Raises:
        ValueError: the file has no markers.
    """
    readme.write_text(MARKERS.replace(readme.read_text(encoding="utf-8"), tables), encoding="utf-8")


def title_of(name: str) -> str:
    """A contestant's name for people."""
    kernel, _, neuron = name.removesuffix(SAVING).partition("/")
    saving = SAVING if name.endswith(SAVING) else ""
    return f"ours, `{kernel}`{_NEURONS.get(neuron, '')}{saving}" if neuron else TITLES[name]


def _machine(record: SpeedRecord) -> str:
    section = next((record[name] for name in _MEASURED_FIRST if name in record), None)
    return "" if section is None else _environment(section)


def _maps(record: SpeedRecord) -> list[str]:
    """The tables of neurons behind convolutions, with where they were measured if that was elsewhere."""
    if "maps" not in record:
        return []
    section = record["maps"]
    where = _environment(section)
    tables = [_step_table(result, ()) for result in section["results"]]
    return tables if where == _machine(record) else [where, *tables]


def _environment(section: Mapping[str, Any]) -> str:
    machine, versions = section["environment"]["machine"], section["environment"]["versions"]
    packages = ", ".join(
        f"{name} {versions[name]}" for name in ("torch", "snntorch", "norse", "spikingjelly") if versions[name]
    )
    device = "" if machine["device"] == "cpu" else f", {machine['device']}"
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores{device}; Python {machine['python']}, {packages}."
    )


def _step_table(result: Mapping[str, Any], peaks: Sequence[Mapping[str, Any]]) -> str:
    base = title_of(result["compared_with"])
    memory = {p["contestant"]: p["bytes"] for p in peaks if p["workload"] == result["workload"] and "bytes" in p}
    more, rule = (" peak memory (MB) |", "---|") if peaks else ("", "")
    lines = [
        f"**{result['title']}** - {result['label']}, {_threads(result)}, {result['rounds']} rounds",
        "",
        f"| | forward (ms) | forward and backward (ms) | training step (ms) | times faster than {base} |{more}",
        "|---|---|---|---|---|" + rule,
    ]
    for name, times in result["times"].items():
        milliseconds = " | ".join(f"{times[measure]['ms']['median']:.0f}" for measure in times)
        peak = f" {f'{memory[name] / 1e6:.1f}' if name in memory else ''} |" if peaks else ""
        lines.append(f"| {title_of(name)} | {milliseconds} | {_ratio(times['step'])} |{peak}")
    return "\n".join(lines)


def _other_steps(results: Sequence[Mapping[str, Any]]) -> str:
    """How many times faster a step is, elsewhere than in the tables above; a row a workload."""
    kernels = [name for result in results for name in result["times"] if "/" in name]
    kernels = list(dict.fromkeys(name.partition("/")[0] for name in kernels))
    peers = [NORSE, SPIKINGJELLY, PRODUCTS]
    head = " | ".join([*(f"ours, `{kernel}`" for kernel in kernels), *(TITLES[peer] for peer in peers)])
    lines = [
        "**The same elsewhere** - training step, times faster than the one that is named",
        "",
        f"| | compared with | {head} |",
        "|---|---|" + (len(kernels) + len(peers)) * "---|",
    ]
    for result in results:
        base, times = result["compared_with"], result["times"]
        neuron = next(name.partition("/")[2] for name in times if "/" in name)
        cells = [*(f"{kernel}/{neuron}" for kernel in kernels), *peers]
        ratios = " | ".join(_ratio(times[name]["step"]) if name in times else "" for name in cells)
        milliseconds = f"{title_of(base)}, {times[base]['step']['ms']['median']:.0f} ms"
        lines.append(f"| {result['title']}; {result['label']}; {_threads(result)} | {milliseconds} | {ratios} |")
    return "\n".join(lines)


def _equality(record: SpeedRecord) -> str:
    results = [result for result in record.get("equality", {}).get("results", []) if "cells" in result]
    if not results:
        return ""
    lines = [
        "**Spikes that differ from the reference's** - layer by layer on the same input",
        "",
        "| neurons | kernel | arithmetic | cells compared | samples compared "
        "| differ where rounding decides | differ otherwise |",
        "|---|---|---|---|---|---|---|",
    ]
    unstable = [result for result in results if result["neuron"] == ANY_ADAPTATION]
    for group in ([result for result in results if result not in unstable], unstable):
        neurons = ", ".join(name.replace("_", " ") for name in _unique(group, "neuron"))
        for kernel in _unique(group, "kernel"):
            for dtype in _unique(group, "dtype"):
                same = [result for result in group if (result["kernel"], result["dtype"]) == (kernel, dtype)]
                counts = ("cells", "samples", "rounded", "unexplained")
                sums = " | ".join(f"{sum(result[what] for result in same):,}" for what in counts)
                if same:
                    lines.append(f"| {neurons} | `{kernel}` | {dtype} | {sums} |")
    lines += [
        "",
        "Rounding decides where the reference's membrane is within 1e-5 of the threshold when a sample first differs "
        "(in float64: never). `adaptive` has a >= 0 here and in all timings.",
    ]
    if unstable:
        lines[-1] += (
            " With a below 0, which the layer also draws, the adaptation excites: membranes grow without bound, and "
            "with them what two orders of summation differ by, so that float32 does not settle the spikes."
        )
    return "\n".join(lines)


def _pipeline(record: SpeedRecord) -> str:
    found = record.get("pipeline", {}).get("results", {})
    if "loading_ms" not in found:
        return ""
    loading, step = found["loading_ms"], found["step_ms"]
    cached, recomputed = found["cached_epoch_ms"], found["recomputed_epoch_ms"]
    with_gradients = found["with_gradients_epoch_ms"]
    dropout, torch_dropout = found["dropout_ms"], found["torch_dropout_ms"]
    lines = [
        f"**Around the step** - the paper's network on SHD, `{found['kernel']}` kernel, minibatches of 128, 1 thread",
        "",
        "| | |",
        "|---|---|",
        f"| loading a minibatch, share of a training step with it | {100 * loading / (loading + step):.1f} % "
        f"({loading:.1f} of {loading + step:.0f} ms; sample by sample {found['sample_by_sample_ms']:.1f} ms) |",
        "| an epoch on the 20th class on cached latents of `hidden2`, times faster than with the front computed again "
        f"| {recomputed / cached:.1f} ({cached:.0f} instead of {recomputed:.0f} ms) |",
        "| ... than with the front's gradients computed too, as in the code published with latent replay "
        f"| {with_gradients / cached:.1f} (instead of {with_gradients:.0f} ms) |",
        "| dropout of 256 neurons' spikes, T = 100, forward and backward, times faster than torch's "
        f"| {torch_dropout / dropout:.1f} ({dropout:.1f} instead of {torch_dropout:.1f} ms) |",
        f"| opening SHD again, all {found['n_opened']:,} samples | {found['opening_s']:.2f} s |",
    ]
    return "\n".join(lines)


def _missing(record: SpeedRecord) -> list[str]:
    """Who took no part and why, each said once."""
    said: dict[str, None] = {}
    for section in ("steps", "memory", "equality", "pipeline", "maps"):
        results = record.get(section, {}).get("results", [])
        for result in results if isinstance(results, list) else [results]:
            for name, reason in result.get("missing", {}).items():
                said[f"{title_of(name)} on {result['title']}: {_one_line(reason)}"] = None
            if "reason" in result and section in ("steps", "equality"):
                where = result.get("kernel") or result.get("label")
                said[f"{where}, {result.get('dtype', result.get('title'))}: {_one_line(result['reason'])}"] = None
    return ["Not measured:\n" + "\n".join(f"- {line}" for line in said)] if said else []


def _hidden_percent(result: Mapping[str, Any]) -> float:
    densities: list[float] = next(values for name, values in result["hidden_density"].items() if "/" in name)
    return 100 * sum(densities) / len(densities)


def _ratio(measured: Mapping[str, Any]) -> str:
    return _spread(measured["faster"]) if "faster" in measured else ""


def _spread(values: Mapping[str, float]) -> str:
    median, lower, upper = values["median"], values["lower"], values["upper"]
    return f"{median:.2f}" if lower == upper else f"{median:.2f} ({lower:.2f}-{upper:.2f})"


def _threads(result: Mapping[str, Any]) -> str:
    return "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"


def _unique(results: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return list(dict.fromkeys(result[name] for result in results))


def _one_line(text: str) -> str:
    return " ".join(text.split())
