"""The published protocol: each class and each speaker in turn as the new one, and several orders of classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean

from benchmarks.catalogue import find_benchmark
from benchmarks.records import Record
from benchmarks.settings import RunPlan, Settings
from benchmarks.summaries import describe_strategy, mean_and_spread

FOLDER = "published_protocol"
"""Of the records and, with `.toml`, of the sweep."""

_HEAD = (
    "| the new one, in turn | strategy | final accuracy (%) | the lowest, the highest | on experience 0 (%) "
    "| on the last experience (%) | kept (bytes) | runs |"
)
_IN_TURN = {
    "class_incremental": "each of 20 classes",
    "sample_incremental": "each of 12 speakers",
    "multi_class_incremental": "3 orders of classes",
}


def markdown_protocol(records: Iterable[Record], plans: Sequence[RunPlan]) -> str:
    """Return the table in Markdown: means and standard deviations over what takes its turn.

    Args:
        records: of the sweep's folder.
        plans: of the sweep.
    """
    planned = Counter(_row_of(plan.benchmark, plan.strategy, plan.settings) for plan in plans)
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        found[_row_of(record["benchmark"], record["strategy"], record["settings"])].append(record)
    rows = [_row(*row, found[row], n_planned) for row, n_planned in planned.items()]
    return "\n".join([_HEAD, "|" + "---|" * 8, *rows])


def _row_of(benchmark: str, strategy: str, settings: Settings) -> tuple[str, str]:
    """Return the benchmark and a strategy's description without that of the stream, which is what varies."""
    usual = {**settings, "stream": find_benchmark(benchmark).stream}
    return benchmark, describe_strategy(strategy, usual, benchmark)


def _row(benchmark: str, label: str, records: Sequence[Record], n_planned: int) -> str:
    what = f"{find_benchmark(benchmark).title}: {_IN_TURN[benchmark]}"
    if not records:
        return f"| {what} | {label} | not run | | | | | 0 of {n_planned} |"
    finals = [100 * record["final_accuracy"] for record in records]
    cells = [
        what,
        label,
        mean_and_spread(finals),
        f"{min(finals):.1f}, {max(finals):.1f}",
        mean_and_spread([100 * record["accuracy_matrix"][-1][0] for record in records]),
        mean_and_spread([100 * record["accuracy_matrix"][-1][-1] for record in records]),
        f"{mean(record['memory_bytes'] for record in records):,.0f}",
        str(len(records)) if len(records) == n_planned else f"{len(records)} of {n_planned}",
    ]
    return f"| {' | '.join(cells)} |"
