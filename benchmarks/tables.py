"""The tables of results, made from the records and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from avalanche_snn.evaluation import forgetting
from benchmarks.catalogue import benchmark_names, find_benchmark
from benchmarks.records import Record
from benchmarks.refusals import Refusal
from benchmarks.settings import RunPlan
from benchmarks.summaries import Summary, describe_strategy, epochs_of, summarise, title_of, unusual_stream

_HEAD = (
    "| strategy | final accuracy (%) | average incremental (%) | forgetting (points) | on experience 0 (%) "
    "| on the last experience (%) | kept (bytes) | working (bytes) | steps | seconds | seeds |"
)
_N_COLUMNS = 11
_RULE = "|" + "---|" * _N_COLUMNS


@dataclass(frozen=True, order=True)
class _Place:
    """What the rows of one table have in common."""

    benchmark: str
    data_name: str
    split: str
    stream: str
    epochs: tuple[int, int]


def markdown_tables(records: Sequence[Record], refusals: Sequence[Refusal] = (), plans: Sequence[RunPlan] = ()) -> str:
    """Return one table for each benchmark, data set, split, stream and length of training, in Markdown.

    Below the runs that were carried out stand those that were not: as "n/a" where the memory was too small, with the
    least that works, as "not run" what sweeps plan and time did not allow, and by name what cannot run at all.

    Args:
        records: of runs.
        refusals: of runs.
        plans: of the sweeps.
    """
    summaries: dict[_Place, list[Summary]] = defaultdict(list)
    for summary in summarise(records):
        place = _Place(summary.benchmark, summary.data_name, summary.split, summary.stream, summary.epochs)
        summaries[place].append(summary)
    refused: dict[_Place, list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        stream = unusual_stream(refusal.settings, refusal.benchmark)
        place = _Place(refusal.benchmark, refusal.data_name, refusal.split, stream, epochs_of(refusal.settings))
        refused[place].append(refusal)
    planned: dict[_Place, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    data_names = {record["data"]: record["data_name"] for record in records}
    for plan in plans:
        if not plan.quick and plan.evaluate_on == "test":
            data_name = data_names.get(plan.data, plan.data)
            stream = unusual_stream(plan.settings, plan.benchmark, plan.data)
            place = _Place(plan.benchmark, data_name, plan.stream["split"], stream, epochs_of(plan.settings))
            planned[place][describe_strategy(plan.strategy, plan.settings, plan.benchmark, plan.data)].add(plan.seed)
    places = sorted(place for place in {*summaries, *planned} if place.benchmark in benchmark_names())
    return "\n\n".join(_table(place, summaries[place], refused[place], planned[place]) for place in places)


def _table(
    place: _Place, summaries: Sequence[Summary], refused: Sequence[Refusal], planned: Mapping[str, set[int]]
) -> str:
    benchmark, title = find_benchmark(place.benchmark), title_of(place.benchmark, place.stream)
    first, later = place.epochs
    epochs = f"{first} epochs on experience 0 and {later} on each later one"
    lines = [f"**{title}** - {place.data_name}, {place.split} split, {epochs}", "", _HEAD, _RULE]
    lines += [_row(summary, planned.get(summary.label, set())) for summary in summaries]
    labels = {id(r): describe_strategy(r.strategy, r.settings, r.benchmark) for r in refused}
    too_small = {labels[id(r)]: r.least_bytes for r in refused if r.least_bytes}
    lines += [_short_row(label, f"n/a below {least:,} bytes") for label, least in sorted(too_small.items())]
    cannot = {r.strategy: r.reason for r in refused if not r.least_bytes}
    not_run = set(planned) - {summary.label for summary in summaries} - set(labels.values())
    lines += [_short_row(label, "not run", f" 0 of {len(planned[label])}") for label in sorted(not_run)]
    if place.data_name == "SHD" and place.split == "merged" and not place.stream:
        for figure in benchmark.published:
            mark = " †" if figure.contaminated else ""
            lines.append(_short_row(f"*published: {figure.what}* ({figure.source})", f"*{figure.accuracy}*{mark}"))
    if cannot:
        lines += ["", "Cannot run:", "", *(f"- {reason}" for _, reason in sorted(cannot.items()))]
    return "\n".join(lines)


def _row(summary: Summary, planned_seeds: set[int]) -> str:
    records = summary.records
    steps = [record["training_steps"] for record in records if "training_steps" in record]
    cells = [
        summary.percent(record["final_accuracy"] for record in records),
        summary.percent(mean(record["seen_accuracy"]) for record in records),
        summary.percent(forgetting(record["accuracy_matrix"]) for record in records) if summary.keeps_memory else "",
        summary.percent(record["accuracy_matrix"][-1][0] for record in records),
        summary.percent(record["accuracy_matrix"][-1][-1] for record in records),
        f"{summary.memory_bytes:,.0f}" if summary.keeps_memory else "all data",
        f"{mean(record['working_bytes'] for record in records):,.0f}",
        f"{mean(steps):,.0f}" if steps else "",
        f"{mean(record['seconds'] for record in records):,.0f}",
    ]
    n_wanted = len(planned_seeds | {record["seed"] for record in records})
    seeds = f"{len(records)}" if len(records) == n_wanted else f"{len(records)} of {n_wanted}"
    return f"| {summary.label} | {' | '.join(cells)} | {seeds} |"


def _short_row(label: str, figure: str, last: str = "") -> str:
    return f"| {label} | {figure} |{' |' * (_N_COLUMNS - 3)}{last} |"
