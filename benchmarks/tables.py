"""The README's tables, made from the records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean

from benchmarks.catalogue import benchmark_names, find_benchmark
from benchmarks.records import Record
from benchmarks.settings import Benchmark
from benchmarks.summaries import Summary, summarise

BEGIN = "<!-- results: written by `python -m benchmarks table --readme README.md`, do not edit -->"
END = "<!-- end of results -->"
_HEAD = (
    "| strategy | final accuracy (%) | on experience 0 (%) | on the last experience (%) | kept (bytes) "
    "| working (bytes) | seconds | seeds |"
)
_RULE = "|---|---|---|---|---|---|---|---|"


def markdown_tables(records: Sequence[Record]) -> str:
    """Return one table for each benchmark, data set, split and length of training, in Markdown."""
    summaries = summarise(records)
    known = [name for name in benchmark_names() if any(s.benchmark == name for s in summaries)]
    blocks = []
    for name in known:
        of_benchmark = [summary for summary in summaries if summary.benchmark == name]
        for (data_name, split, _), members in groupby(of_benchmark, key=lambda s: (s.data_name, s.split, s.epochs)):
            blocks.append(_table(find_benchmark(name), data_name, split, list(members)))
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


def _table(benchmark: Benchmark, data_name: str, split: str, summaries: list[Summary]) -> str:
    first, later = summaries[0].epochs
    epochs = f"{first} epochs on experience 0 and {later} on each later one"
    lines = [f"**{benchmark.title}** - {data_name}, {split} split, {epochs}", "", _HEAD, _RULE]
    lines += [_row(summary) for summary in summaries]
    if data_name == "SHD" and split == "merged":
        for figure in benchmark.published:
            mark = " †" if figure.contaminated else ""
            lines.append(f"| *published: {figure.what}* ({figure.source}) | *{figure.accuracy}*{mark} | | | | | | |")
    return "\n".join(lines)


def _row(summary: Summary) -> str:
    records = summary.records
    kept = f"{summary.memory_bytes:,.0f}" if summary.keeps_memory else "all data"
    working = f"{mean(r['working_bytes'] for r in records):,.0f}"
    seconds = f"{mean(r['seconds'] for r in records):,.0f}"
    final = summary.percent(record["final_accuracy"] for record in records)
    first = summary.percent(record["accuracy_matrix"][-1][0] for record in records)
    last = summary.percent(record["accuracy_matrix"][-1][-1] for record in records)
    return f"| {summary.label} | {final} | {first} | {last} | {kept} | {working} | {seconds} | {len(records)} |"
