"""Figures of the records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks import style
from benchmarks.confusions import plot_confusions, with_confusion
from benchmarks.fronts import plot_fronts
from benchmarks.matrices import plot_matrices
from benchmarks.records import Record
from benchmarks.summaries import Summary, summarise, usual_epochs

#: Below, an accuracy matrix says no more than the curves do.
_FEWEST_EXPERIENCES = 4
_MOST_MATRICES = 12
_MOST_CURVES = 9
#: Percent: where curves are high up, the axis begins at a multiple of it.
_GRID = 20


def plot_records(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw the figures of all records.

    One of accuracy against bytes for each data set and split, with all benchmarks and all configurations. For each
    benchmark the accuracy over experiences of the best configurations, their accuracy matrices where a stream is long
    enough, and where records have them, the confusion matrices of the best and the worst.

    Returns:
        The files written.
    """
    all_summaries = summarise(records)
    paths = plot_fronts(all_summaries, folder)
    # Summaries come sorted by exactly these five.
    groups = groupby(all_summaries, key=lambda s: (s.benchmark, s.data_name, s.split, s.stream, s.epochs))
    for (benchmark, data_name, split, stream, epochs), members in groups:
        summaries = sorted(members, key=lambda s: -s.final_accuracy)
        length = "" if epochs == usual_epochs(benchmark) else f"-{epochs[0]}+{epochs[1]}-epochs"
        name = f"{benchmark}-{data_name}-{split}{_in_a_file_name(stream)}{length}"
        paths.append(_plot_curves(summaries, folder / f"{name}.png"))
        grown = [summary for summary in summaries if _n_experiences(summary) >= _FEWEST_EXPERIENCES]
        if grown:
            paths.append(plot_matrices(grown[:_MOST_MATRICES], folder / f"{name}-matrices.png"))
        confused = with_confusion(summaries)
        if confused:
            paths.append(plot_confusions(confused, folder / f"{name}-confusion.png"))
    return paths


def _in_a_file_name(stream: str) -> str:
    return "-" + stream.replace(", ", "-").replace("=", "-") if stream else ""


def _n_experiences(summary: Summary) -> int:
    return len(summary.records[0]["seen_accuracy"])


def _plot_curves(summaries: Sequence[Summary], path: Path) -> Path:
    """Draw accuracy on the experiences seen so far: the best configurations, and the worst for comparison."""
    first = summaries[0]
    shown = [*summaries[:_MOST_CURVES], *summaries[_MOST_CURVES:][-1:]]
    drawn = style.figure(8.0, 6.4)
    axes = drawn.subplots()
    lowest = 100.0
    for number, summary in enumerate(shown):
        look = style.look(number)
        curves = np.array([record["seen_accuracy"] for record in summary.records]) * 100
        means, spread = curves.mean(axis=0), curves.std(axis=0, ddof=1 if len(curves) > 1 else 0)
        lowest = min(lowest, float((means - spread).min()))
        if not summary.keeps_memory:
            axes.axhline(means[-1], linestyle="--", color=look["color"], label=summary.label)
            continue
        axes.plot(range(len(means)), means, label=summary.label, **look)
        axes.fill_between(
            range(len(means)), means - spread, means + spread, color=look["color"], alpha=0.15, linewidth=0
        )
    axes.set_xticks(range(max(map(_n_experiences, shown))))
    axes.set_ylim(max(0.0, lowest - lowest % _GRID), 100)
    style.label(axes, "experience trained last", "accuracy on experiences seen so far (%)", first.title)
    drawn.legend(loc="outside lower center", ncols=1, fontsize=8, frameon=False)
    return style.save(drawn, path)
