"""Confusion before and after: what each class is taken for once the first experience is learnt, and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import style
from benchmarks.summaries import Summary

_MOMENTS = {"first": "after experience 0", "last": "after the last experience"}


def with_confusion(summaries: Sequence[Summary]) -> list[Summary]:
    """Return the best and the worst of the configurations whose records have confusion matrices, if there are any."""
    having = [summary for summary in summaries if all("confusion" in record for record in summary.records)]
    ranked = sorted(having, key=lambda summary: -summary.final_accuracy)
    return ranked if len(ranked) < 2 else [ranked[0], ranked[-1]]


def plot_confusions(summaries: Sequence[Summary], path: Path) -> Path:
    """Draw confusion matrices, the counts of all seeds together, in percent of each true class.

    Args:
        summaries: a configuration a row; before on the left, after on the right.
        path: of the PNG.
    """
    drawn = style.figure(8.4, 3.9 * len(summaries) + 0.4)
    all_axes = drawn.subplots(len(summaries), len(_MOMENTS), squeeze=False)
    for summary, row in zip(summaries, all_axes, strict=True):
        for (moment, when), axes in zip(_MOMENTS.items(), row, strict=True):
            shares = _percent(summary, moment)
            image = axes.imshow(shares, vmin=0, vmax=100, cmap="cividis")
            axes.set_title(f"{summary.label}\n{when}", fontsize=8, loc="left", wrap=True)
            axes.set_xlabel("taken for class", fontsize=9)
            axes.set_ylabel("class", fontsize=9)
            axes.set_xticks(range(0, len(shares), 5))
            axes.set_yticks(range(0, len(shares), 5))
            axes.tick_params(labelsize=8)
    drawn.colorbar(image, ax=all_axes, label="share of the class (%)", shrink=0.8)
    drawn.suptitle(summaries[0].title, fontsize=11, x=0.01, ha="left")
    return style.save(drawn, path)


def _percent(summary: Summary, moment: str) -> NDArray[np.float64]:
    counts = np.sum([record["confusion"][moment] for record in summary.records], axis=0)
    of_class = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = 100 * counts / np.maximum(of_class, 1)
    return shares
