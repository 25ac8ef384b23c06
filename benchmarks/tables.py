"""The tables of results, made from the records and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.catalogue import benchmark_names, find_benchmark
from benchmarks.overview import BEGIN as OVERVIEW_BEGIN
from benchmarks.overview import END as OVERVIEW_END
from benchmarks.records import Record
from benchmarks.refusals import Refusal
from benchmarks.settings import RunPlan, Settings
from benchmarks.summaries import Summary, describe_strategy, summarise

BEGIN = "<!-- results: written by `python -m benchmarks table --write README.md docs/results.md`, do not edit -->"
END = "<!-- end of results -->"
_HEAD = (
    "| strategy | final accuracy (%) | on experience 0 (%) | on the last experience (%) | kept (bytes) "
    "| working (bytes) | seconds | seeds |"
)
_RULE = "|---|---|---|---|---|---|---|---|"


@dataclass(frozen=True, order=True)
class _Place:
    """What the rows of one table have in common."""

    benchmark: str
    data_name: str
    split: str
    epochs: tuple[int, int]


def markdown_tables(records: Sequence[Record], refusals: Sequence[Refusal] = (), plans: Sequence[RunPlan] = ()) -> str:
    """Return one table for each benchmark, data set, split and length of training, in Markdown.

    Below the runs that were carried out stand those that were not: as "n/a" where the memory was too small, with the
    least that works, as "not run" what sweeps plan and time did not allow, and by name what cannot run at all.

    Args:
        records: of runs.
        refusals: of runs.
        plans: of the sweeps.
    """
    summaries: dict[_Place, list[Summary]] = defaultdict(list)
    for summary in summarise(records):
        place = _Place(summary.benchmark, summary.data_name, summary.split, summary.epochs)
        summaries[place].append(summary)
    refused: dict[_Place, list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        place = _Place(refusal.benchmark, refusal.data_name, refusal.split, _epochs_of(refusal.settings))
        refused[place].append(refusal)
    planned: dict[_Place, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    data_names = {record["data"]: record["data_name"] for record in records}
    for plan in plans:
        if not plan.quick and plan.evaluate_on == "test":
            data_name = data_names.get(plan.data, plan.data)
            place = _Place(plan.benchmark, data_name, plan.stream["split"], _epochs_of(plan.settings))
            planned[place][describe_strategy(plan.strategy, plan.settings)].add(plan.seed)
    places = sorted(place for place in {*summaries, *planned} if place.benchmark in benchmark_names())
    return "\n\n".join(_table(place, summaries[place], refused[place], planned[place]) for place in places)


def write_tables(tables: str, overview: str, path: Path) -> None:
    """Put the tables, the overview, or both, between their markers in a Markdown file.

    Raises:
        ValueError: the file has no markers.
    """
    text = path.read_text(encoding="utf-8")
    path.write_text(replace_tables(text, tables, overview), encoding="utf-8")


def replace_tables(text: str, tables: str, overview: str = "") -> str:
    """Return a text with the tables, the overview, or both, between their markers.

    Raises:
        ValueError: it has no markers.
    """
    marked = {(BEGIN, END): tables, (OVERVIEW_BEGIN, OVERVIEW_END): overview}
    found = [markers for markers in marked if all(marker in text for marker in markers)]
    if not found:
        raise ValueError(f"The tables go between the lines {BEGIN!r} and {END!r}, which are missing.")
    for begin, end in found:
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{marked[begin, end]}\n\n{end}{after}"
    return text


def _table(
    place: _Place, summaries: Sequence[Summary], refused: Sequence[Refusal], planned: Mapping[str, set[int]]
) -> str:
    benchmark = find_benchmark(place.benchmark)
    first, later = place.epochs
    epochs = f"{first} epochs on experience 0 and {later} on each later one"
    lines = [f"**{benchmark.title}** - {place.data_name}, {place.split} split, {epochs}", "", _HEAD, _RULE]
    lines += [_row(summary, planned.get(summary.label, set())) for summary in summaries]
    too_small = {describe_strategy(r.strategy, r.settings): r.least_bytes for r in refused if r.least_bytes}
    lines += [f"| {label} | n/a below {least:,} bytes | | | | | | |" for label, least in sorted(too_small.items())]
    cannot = {r.strategy: r.reason for r in refused if not r.least_bytes}
    impossible = {describe_strategy(r.strategy, r.settings) for r in refused}
    not_run = set(planned) - {summary.label for summary in summaries} - impossible
    lines += [f"| {label} | not run | | | | | | 0 of {len(planned[label])} |" for label in sorted(not_run)]
    if place.data_name == "SHD" and place.split == "merged":
        for figure in benchmark.published:
            mark = " †" if figure.contaminated else ""
            lines.append(f"| *published: {figure.what}* ({figure.source}) | *{figure.accuracy}*{mark} | | | | | | |")
    if cannot:
        lines += ["", "Cannot run:", "", *(f"- {reason}" for _, reason in sorted(cannot.items()))]
    return "\n".join(lines)


def _epochs_of(settings: Settings) -> tuple[int, int]:
    training = settings["training"]
    return training["first_epochs"], training["epochs"]


def _row(summary: Summary, planned_seeds: set[int]) -> str:
    records = summary.records
    kept = f"{summary.memory_bytes:,.0f}" if summary.keeps_memory else "all data"
    working = f"{mean(r['working_bytes'] for r in records):,.0f}"
    seconds = f"{mean(r['seconds'] for r in records):,.0f}"
    final = summary.percent(record["final_accuracy"] for record in records)
    first = summary.percent(record["accuracy_matrix"][-1][0] for record in records)
    last = summary.percent(record["accuracy_matrix"][-1][-1] for record in records)
    n_wanted = len(planned_seeds | {record["seed"] for record in records})
    seeds = f"{len(records)}" if len(records) == n_wanted else f"{len(records)} of {n_wanted}"
    return f"| {summary.label} | {final} | {first} | {last} | {kept} | {working} | {seconds} | {seeds} |"
