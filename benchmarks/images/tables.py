"""The tables of runs on CIFAR-100, made from their records and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean

from benchmarks.images.configurations import CONFIGURATIONS, METHODS
from benchmarks.records import Record
from benchmarks.summaries import mean_and_spread

FOLDER = "images"
"""Of the records, within that of all others."""

REQUIRED = ("configuration", "settings", "machine", "versions", "source")
"""Entries of every record, of a run and of a measurement."""

_HEAD = (
    "| method | average incremental (%) | final accuracy (%) | on the first experience (%) | on the last (%) "
    "| kept (bytes) | seconds | where | class orders |"
)
_N_COLUMNS = 9
_PUBLISHED = {
    "b0-10": (
        ("WA (ANN; Yan et al. 2021)", "69.46", ""),
        ("dynamically expandable (ANN; Yan et al. 2021)", "75.36", "65.22"),
        ("ALADE-SNN (arXiv 2412.12696)", "75.42", ""),
    )
}
"""Name, average incremental and final accuracy."""


def markdown_images(records: Iterable[Record]) -> str:
    """Return a table for each configuration: methods in the order of the ladder, or what a step takes if none was run.

    Args:
        records: of runs and of measurements.
    """
    runs: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    measured = {}
    for record in records:
        if record.get("not_run"):
            measured[record["configuration"]] = record
        else:
            runs[record["configuration"]][record["method"]].append(record)
    return "\n\n".join(_block(name, runs[name], measured.get(name)) for name in CONFIGURATIONS)


def _block(name: str, runs: dict[str, list[Record]], measured: Record | None) -> str:
    lines = [f"**{name}**: {CONFIGURATIONS[name].title}", ""]
    if runs:
        lines += [_HEAD, "|" + "---|" * _N_COLUMNS]
        lines += [_row(METHODS[method].title, runs[method]) for method in METHODS if method in runs]
        lines += [_published_row(*figures) for figures in _PUBLISHED.get(name, ())]
        return "\n".join(lines)
    lines.append(f"Not run.{_measured(measured) if measured else ''}{_published(name)}")
    return "\n".join(lines)


def _row(title: str, records: Sequence[Record]) -> str:
    cells = [
        title,
        mean_and_spread([100 * record["average_incremental_accuracy"] for record in records]),
        mean_and_spread([100 * record["final_accuracy"] for record in records]),
        mean_and_spread([100 * record["accuracy_matrix"][-1][0] for record in records]),
        mean_and_spread([100 * record["accuracy_matrix"][-1][-1] for record in records]),
        f"{mean(record['memory_bytes'] for record in records):,.0f}",
        _seconds_of_runs(records),
        ", ".join(sorted({_where(record) for record in records})),
        str(len(records)),
    ]
    return f"| {' | '.join(cells)} |"


def _seconds_of_runs(records: Sequence[Record]) -> str:
    """Return the mean of the runs that were not interrupted: others know only of their last part."""
    whole = [record["seconds"] for record in records if not record["resumed"]]
    return f"{mean(whole):,.0f}" if whole else ""


def _published_row(what: str, average: str, final: str) -> str:
    return f"| *published: {what}* | *{average}* | {f'*{final}*' if final else ''} | | | | | | |"


def _published(name: str) -> str:
    figures = [f"{what} {average}" for what, average, _ in _PUBLISHED.get(name, ())]
    return f" Published, average incremental accuracy in per cent: {', '.join(figures)}." if figures else ""


def _measured(record: Record) -> str:
    first, second = record["step_seconds"]
    return (
        f" A step of {record['minibatch']} images takes {_seconds(first)} with one extractor, {_seconds(second)} with "
        f"two ({_where(record)}, {record['threads']} thread{'s' if record['threads'] > 1 else ''}), and at most "
        f"{record['peak_bytes'] / 1e9:.1f} GB of memory."
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _where(record: Record) -> str:
    machine = record["machine"]
    return "CPU" if machine["device"] == "cpu" else f"GPU, {machine['precision']}"
