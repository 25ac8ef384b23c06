"""Accuracy against bytes: all strategies and codecs in one figure, and what nothing beats with fewer bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks import style
from benchmarks.catalogue import find_benchmark
from benchmarks.summaries import Summary, best_first

_FRONT: style.Look = {"color": "#999999", "linewidth": 1.4, "zorder": 0}


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points, of bytes and accuracy, that no other one beats with as few bytes or fewer.

    They come in the order of their bytes, each with a higher accuracy than the one before.
    """
    front: list[tuple[float, float]] = []
    for n_bytes, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((n_bytes, accuracy))
    return front


def plot_fronts(summaries: Sequence[Summary], folder: Path) -> list[Path]:
    """Draw one figure for each data set and split: a panel for each benchmark, at its usual length of training.

    Where nothing was trained for as long as usual, whatever there is.

    Returns:
        The files written.
    """
    paths = []
    in_order = sorted(summaries, key=lambda s: (s.data_name, s.split, s.benchmark))
    for (data_name, split), members in groupby(in_order, lambda s: (s.data_name, s.split)):
        of_figure = list(members)
        usual = [summary for summary in of_figure if summary.is_usual_length]
        path = folder / f"bytes-{data_name}-{split}.png"
        paths.append(_plot_panels(usual or of_figure, f"{data_name}, {split} split", path))
    return paths


def _plot_panels(summaries: Sequence[Summary], title: str, path: Path) -> Path:
    names = sorted({summary.benchmark for summary in summaries})
    labels = best_first(summaries)
    looks = {label: style.look(number) for number, label in enumerate(labels)}
    legend_height = 0.16 * (-(-len(labels) // 2) + 2)
    drawn = style.figure(4.1 * max(2, len(names)), 4.4 + legend_height)
    all_axes = drawn.subplots(1, len(names), squeeze=False, sharex=True, sharey=True)[0]
    for name, axes in zip(names, all_axes, strict=True):
        members = [summary for summary in summaries if summary.benchmark == name]
        _draw_front(axes, members)
        for summary in members:
            _draw_point(axes, summary, looks[summary.label])
        style.label(axes, "kept between experiences (kB)", "", find_benchmark(name).title)
    if all(summary.memory_bytes == 0 for summary in summaries):
        axes.set_xlim(1, 1000)  # a logarithmic axis without a point has no limits of its own
    for axes in all_axes:
        style.log_axis(axes)
    axes.set_ylim(0, 100)
    all_axes[0].set_ylabel("final accuracy (%), mean ± std over seeds")
    drawn.suptitle(title, fontsize=11, x=0.01, ha="left")
    without_bytes = {s.label for s in summaries if not s.keeps_memory or not s.memory_bytes}
    handles = [
        Line2D([], [], linestyle="--" if label in without_bytes else "none", label=label, **looks[label])
        for label in labels
    ]
    handles.append(Line2D([], [], label="the best for so many bytes", **_FRONT))
    drawn.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return style.save(drawn, path)


def _draw_point(axes: Axes, summary: Summary, look: style.Look) -> None:
    accuracy = 100 * summary.final_accuracy
    if not summary.keeps_memory or summary.memory_bytes == 0:
        # Nothing kept has no place on a logarithmic axis, and all data kept none on that of a memory.
        axes.axhline(accuracy, linestyle="--", linewidth=1, color=look["color"])
        axes.plot(1.0, accuracy, transform=axes.get_yaxis_transform(), clip_on=False, markersize=6, **look)
        return
    axes.errorbar(
        summary.memory_bytes / 1000, accuracy, yerr=summary.spread or None, linestyle="none",
        markersize=7, markeredgecolor="white", markeredgewidth=0.5, elinewidth=1, **look,
    )  # fmt: skip


def _draw_front(axes: Axes, summaries: Sequence[Summary]) -> None:
    """Draw what can be had for so many bytes: as stairs, since more memory need not be used."""
    front = pareto_front((s.memory_bytes, s.final_accuracy) for s in summaries if s.memory_bytes > 0 and s.keeps_memory)
    if len(front) > 1:
        n_bytes, accuracies = zip(*front, strict=True)
        axes.step([n / 1000 for n in n_bytes], [100 * a for a in accuracies], where="post", **_FRONT)
