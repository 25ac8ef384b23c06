"""Figures of the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks import style
from benchmarks.catalogue import find_benchmark
from benchmarks.confusions import plot_confusions, with_confusion
from benchmarks.matrices import plot_matrices
from benchmarks.records import Record
from benchmarks.summaries import Summary, summarise

#: Below, an accuracy matrix says no more than the curves do.
_FEWEST_EXPERIENCES = 4


def plot_records(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw figures for each benchmark, data set, split and length of training: accuracy over experiences and bytes.

    Where a stream is long enough, the accuracy matrices of all strategies follow in a figure of their own, and where
    records have them, the confusion matrices of the best and the worst.

    Returns:
        The files written.
    """
    paths = []
    all_summaries = summarise(records)
    # A configuration looks the same in every figure.
    looks = {label: style.look(number) for number, label in enumerate(sorted({s.label for s in all_summaries}))}
    # Summaries come sorted by exactly these four.
    groups = groupby(all_summaries, key=lambda s: (s.benchmark, s.data_name, s.split, s.epochs))
    for (benchmark, data_name, split, epochs), members in groups:
        summaries = sorted(members, key=lambda s: -s.final_accuracy)
        usual = find_benchmark(benchmark).training
        length = "" if epochs == (usual.first_epochs, usual.epochs) else f"-{epochs[0]}+{epochs[1]}-epochs"
        name = f"{benchmark}-{data_name}-{split}{length}"
        paths.append(_plot_summaries(summaries, looks, folder / f"{name}.png"))
        grown = [summary for summary in summaries if _n_experiences(summary) >= _FEWEST_EXPERIENCES]
        if grown:
            paths.append(plot_matrices(grown, folder / f"{name}-matrices.png"))
        confused = with_confusion(summaries)
        if confused:
            paths.append(plot_confusions(confused, folder / f"{name}-confusion.png"))
    return paths


def _n_experiences(summary: Summary) -> int:
    return len(summary.records[0]["seen_accuracy"])


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points, of bytes and accuracy, that no other one beats with as few bytes or fewer.

    They come in the order of their bytes, each with a higher accuracy than the one before.
    """
    front: list[tuple[float, float]] = []
    for n_bytes, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((n_bytes, accuracy))
    return front


def _draw_front(axes: Axes, summaries: Sequence[Summary]) -> None:
    """Draw what can be had for so many bytes: as stairs, since more memory need not be used."""
    front = pareto_front((s.memory_bytes, s.final_accuracy) for s in summaries if s.memory_bytes > 0 and s.keeps_memory)
    if len(front) > 1:
        n_bytes, accuracies = zip(*front, strict=True)
        axes.step(
            [n / 1000 for n in n_bytes], [100 * a for a in accuracies], where="post", color="#999999", linewidth=1.2,
            zorder=0, label="best for so many bytes",
        )  # fmt: skip


def _plot_summaries(summaries: Sequence[Summary], looks: dict[str, dict[str, str]], path: Path) -> Path:
    """Draw accuracy on the experiences seen so far (left) and final accuracy against bytes (right)."""
    first = summaries[0]
    title = find_benchmark(first.benchmark).title
    drawn = style.figure(11.0, 5.2)
    over_experiences, against_bytes = drawn.subplots(1, 2)
    _draw_front(against_bytes, summaries)
    for summary in summaries:
        look = looks[summary.label]
        curves = np.array([record["seen_accuracy"] for record in summary.records]) * 100
        means, spread = curves.mean(axis=0), curves.std(axis=0, ddof=1 if len(curves) > 1 else 0)
        if not summary.keeps_memory:
            for axes in (over_experiences, against_bytes):
                axes.axhline(means[-1], linestyle="--", color=look["color"], label=summary.label)
            continue
        over_experiences.plot(range(len(means)), means, label=summary.label, **look)
        over_experiences.fill_between(
            range(len(means)), means - spread, means + spread, color=look["color"], alpha=0.15, linewidth=0
        )
        if summary.memory_bytes > 0:
            against_bytes.errorbar(
                summary.memory_bytes / 1000, means[-1], yerr=spread[-1] or None, linestyle="none", markersize=8, **look
            )
        else:
            # Zero has no place on a logarithmic axis.
            against_bytes.axhline(means[-1], linestyle=":", color=look["color"])
    over_experiences.set_xticks(range(max(map(_n_experiences, summaries))))
    style.label(over_experiences, "experience trained last", "accuracy on experiences seen so far (%)", title)
    style.label(
        against_bytes,
        "memory kept between experiences (kB)",
        "final accuracy (%)",
        f"{first.data_name}, {first.split} split",
    )
    style.log_axis(against_bytes)
    for axes in (over_experiences, against_bytes):
        axes.set_ylim(0, 100)
    handles, labels = over_experiences.get_legend_handles_labels()
    for handle, text in zip(*against_bytes.get_legend_handles_labels(), strict=True):
        if text not in labels:  # the front
            handles.append(handle)
            labels.append(text)
    drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return style.save(drawn, path)
