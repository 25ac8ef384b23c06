"""The README's tables, made from the records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean

from benchmarks.catalogue import benchmark_names, find_benchmark
from benchmarks.records import Record
from benchmarks.refusals import Refusal
from benchmarks.settings import Benchmark
from benchmarks.summaries import Summary, describe_strategy, summarise

BEGIN = "<!-- results: written by `python -m benchmarks table --readme README.md`, do not edit -->"
END = "<!-- end of results -->"
_HEAD = (
    "| strategy | final accuracy (%) | on experience 0 (%) | on the last experience (%) | kept (bytes) "
    "| working (bytes) | seconds | seeds |"
)
_RULE = "|---|---|---|---|---|---|---|---|"


def markdown_tables(records: Sequence[Record], refusals: Sequence[Refusal] = ()) -> str:
    """Return one table for each benchmark, data set, split and length of training, in Markdown.

    Runs that were refused stand below those that were carried out: as "n/a" where the memory was too small, with the
    least that works, and by name where the strategy cannot run.
    """
    summaries = summarise(records)
    known = [name for name in benchmark_names() if any(s.benchmark == name for s in summaries)]
    blocks = []
    for name in known:
        of_benchmark = [summary for summary in summaries if summary.benchmark == name]
        for where, members in groupby(of_benchmark, key=lambda s: (s.data_name, s.split, s.epochs)):
            refused = [r for r in refusals if r.benchmark == name and (r.data_name, r.split, _epochs_of(r)) == where]
            blocks.append(_table(find_benchmark(name), where[0], where[1], list(members), refused))
    return "\n\n".join(blocks)


def write_tables(tables: str, readme: Path) -> None:
    """Put the tables between the markers of a Markdown file.

    Raises:
        ValueError: the file has no markers.
    """
    text = readme.read_text(encoding="utf-8")
    readme.write_text(replace_tables(text, tables), encoding="utf-8")


def replace_tables(text: str, tables: str) -> str:
    """Return a text with the tables between its markers.

    Raises:
        ValueError: it has no markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The tables go between the lines {BEGIN!r} and {END!r}, which are missing.")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _table(
    benchmark: Benchmark, data_name: str, split: str, summaries: list[Summary], refused: Sequence[Refusal]
) -> str:
    first, later = summaries[0].epochs
    epochs = f"{first} epochs on experience 0 and {later} on each later one"
    lines = [f"**{benchmark.title}** - {data_name}, {split} split, {epochs}", "", _HEAD, _RULE]
    lines += [_row(summary) for summary in summaries]
    too_small = {describe_strategy(r.strategy, r.settings): r.least_bytes for r in refused if r.least_bytes}
    lines += [f"| {label} | n/a below {least:,} bytes | | | | | | |" for label, least in sorted(too_small.items())]
    if data_name == "SHD" and split == "merged":
        for figure in benchmark.published:
            mark = " †" if figure.contaminated else ""
            lines.append(f"| *published: {figure.what}* ({figure.source}) | *{figure.accuracy}*{mark} | | | | | | |")
    cannot = sorted({(r.strategy, r.reason) for r in refused if not r.least_bytes})
    if cannot:
        lines += ["", "Cannot run:", "", *(f"- {reason}" for _, reason in cannot)]
    return "\n".join(lines)


def _epochs_of(refusal: Refusal) -> tuple[int, int]:
    training = refusal.settings["training"]
    return training["first_epochs"], training["epochs"]


def _row(summary: Summary) -> str:
    records = summary.records
    kept = f"{summary.memory_bytes:,.0f}" if summary.keeps_memory else "all data"
    working = f"{mean(r['working_bytes'] for r in records):,.0f}"
    seconds = f"{mean(r['seconds'] for r in records):,.0f}"
    final = summary.percent(record["final_accuracy"] for record in records)
    first = summary.percent(record["accuracy_matrix"][-1][0] for record in records)
    last = summary.percent(record["accuracy_matrix"][-1][-1] for record in records)
    return f"| {summary.label} | {final} | {first} | {last} | {kept} | {working} | {seconds} | {len(records)} |"
