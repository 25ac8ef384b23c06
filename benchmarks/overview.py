"""The README's first table: every configuration in a row, with what it keeps and its accuracy on each benchmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.catalogue import benchmark_names, find_benchmark
from benchmarks.records import Record
from benchmarks.refusals import Refusal
from benchmarks.settings import RunPlan
from benchmarks.summaries import Summary, describe_strategy, summarise

_NOTHING = float("-inf")


def markdown_overview(
    records: Sequence[Record],
    refusals: Sequence[Refusal] = (),
    plans: Sequence[RunPlan] = (),
    *,
    data: str = "shd",
    split: str = "merged",
) -> str:
    """Return one table of final accuracies in Markdown: a row for each configuration, a column for each benchmark.

    Of each benchmark, the length of training that is its own. The benchmark with the longest stream comes first, and
    the strategy that is best there. A cell without an accuracy says why: "n/a" where the memory is too small, "cannot"
    where the strategy does not run there, "not run" where a sweep plans it and time did not allow it.

    Args:
        records: of runs.
        refusals: of runs.
        plans: of the sweeps.
        data: "shd" or "synthetic".
        split: of the data.
    """
    wanted = [record for record in records if record["data"] == data and record["split"] == split]
    rows: dict[str, dict[str, Summary]] = defaultdict(dict)
    for summary in summarise(wanted):
        if summary.is_usual_length:
            rows[summary.label][summary.benchmark] = summary
    notes: dict[str, dict[str, str]] = defaultdict(dict)
    for plan in plans:
        if (plan.data, plan.stream["split"], plan.quick, plan.evaluate_on) == (data, split, False, "test"):
            notes[describe_strategy(plan.strategy, plan.settings, plan.benchmark, plan.data)][plan.benchmark] = (
                "not run"
            )
    least_bytes: dict[str, int] = {}
    data_names = {record["data_name"] for record in wanted}
    for refusal in refusals:
        if refusal.data_name in data_names and refusal.split == split:
            label = describe_strategy(refusal.strategy, refusal.settings, refusal.benchmark)
            notes[label][refusal.benchmark] = "n/a" if refusal.least_bytes else "cannot"
            if refusal.least_bytes:
                least_bytes[label] = max(refusal.least_bytes, least_bytes.get(label, 0))
    # The longest stream has the most to forget, and what is kept is that at its end.
    known = [name for name in benchmark_names() if any(name in row for row in rows.values())] or benchmark_names()
    columns = sorted(known, key=lambda name: -_most_experiences(rows, name))
    too_small = {label: n_bytes for label, n_bytes in least_bytes.items() if label not in rows}
    not_run = {label for label in notes if label not in rows and label not in too_small}
    titles = [find_benchmark(name).title for name in columns]
    lines = [
        f"| strategy | kept (bytes), {titles[0].split(',')[0]} | {' | '.join(f'{title} (%)' for title in titles)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for label in sorted(rows, key=lambda label: (-_first_accuracy(rows[label], columns), label)):
        cells = [_cell(rows[label].get(name), notes[label].get(name, "")) for name in columns]
        lines.append(f"| {label} | {_kept(rows[label], columns)} | {' | '.join(cells)} |")
    if not_run:
        lines += ["", f"Planned, and not run: {len(not_run)} more, which the full tables name."]
    if too_small:
        least = [f"{label} (at least {n_bytes:,})" for label, n_bytes in sorted(too_small.items())]
        lines += ["", f"n/a, too few bytes for one exemplar of each class: {', '.join(least)}."]
    return "\n".join(lines)


def _most_experiences(rows: dict[str, dict[str, Summary]], benchmark: str) -> int:
    found = [row[benchmark] for row in rows.values() if benchmark in row]
    return max((len(summary.records[0]["accuracy_matrix"]) for summary in found), default=0)


def _first_accuracy(row: dict[str, Summary], columns: Sequence[str]) -> float:
    return row[columns[0]].final_accuracy if columns[0] in row else _NOTHING


def _kept(row: dict[str, Summary], columns: Sequence[str]) -> str:
    summary = next((row[name] for name in columns if name in row), None)
    if summary is None:
        return ""
    return f"{summary.memory_bytes:,.0f}" if summary.keeps_memory else "all data"


def _cell(summary: Summary | None, note: str) -> str:
    if summary is None:
        return note
    few = f" ({n} seed{'s' if n > 1 else ''})" if (n := len(summary.records)) < 3 else ""
    return summary.percent(record["final_accuracy"] for record in summary.records) + few
