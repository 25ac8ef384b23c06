"""Figures of the records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean

from benchmarks import style
from benchmarks.catalogue import find_benchmark
from benchmarks.records import Record
from benchmarks.summaries import Summary, summarise


def plot_records(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw a figure for each benchmark, data set, split and length of training: accuracy over experiences and bytes.

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
        paths.append(_plot_summaries(summaries, looks, folder / f"{benchmark}-{data_name}-{split}{length}.png"))
    return paths


def _plot_summaries(summaries: Sequence[Summary], looks: dict[str, dict[str, str]], path: Path) -> Path:
    """Draw accuracy on the experiences seen so far (left) and final accuracy against bytes (right)."""
    first = summaries[0]
    title = find_benchmark(first.benchmark).title
    drawn = style.figure(11.0, 5.2)
    over_experiences, against_bytes = drawn.subplots(1, 2)
    for summary in summaries:
        look = looks[summary.label]
        curves = [record["seen_accuracy"] for record in summary.records]
        means = [100 * mean(values) for values in zip(*curves, strict=True)]
        if not summary.keeps_memory:
            for axes in (over_experiences, against_bytes):
                axes.axhline(means[-1], linestyle="--", color=look["color"], label=summary.label)
            continue
        over_experiences.plot(range(len(means)), means, label=summary.label, **look)
        if summary.memory_bytes > 0:
            against_bytes.plot(summary.memory_bytes / 1000, means[-1], linestyle="none", markersize=8, **look)
        else:
            # Zero has no place on a logarithmic axis.
            against_bytes.axhline(means[-1], linestyle=":", color=look["color"])
    n_experiences = max(len(summary.records[0]["seen_accuracy"]) for summary in summaries)
    over_experiences.set_xticks(range(n_experiences))
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
    drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return style.save(drawn, path)
