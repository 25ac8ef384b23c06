"""Accuracy matrices: what a network knows of each experience after it was trained on each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import style
from benchmarks.summaries import Summary

_COLUMNS = 4
_WIDTH_OF_TITLES = 34


def plot_matrices(summaries: Sequence[Summary], path: Path) -> Path:
    """Draw the accuracy matrix of each configuration, mean over seeds, in one figure.

    Row: the experience trained last. Column: the test experience. Cells above the diagonal, of experiences that have
    not come yet, are left empty.

    Args:
        summaries: of one benchmark, in the order in which they are drawn; all with the same number of experiences.
        path: of the PNG.
    """
    n_rows = -(-len(summaries) // _COLUMNS)
    n_columns = min(_COLUMNS, len(summaries))
    drawn = style.figure(2.9 * n_columns + 0.6, 2.9 * n_rows + 0.5)
    drawn.set_layout_engine("constrained", hspace=0.06)
    all_axes = drawn.subplots(n_rows, n_columns, squeeze=False)
    image = None
    for axes, summary in zip(all_axes.flat, summaries, strict=False):
        matrix = 100 * np.mean([record["accuracy_matrix"] for record in summary.records], axis=0)
        above = np.triu(np.ones_like(matrix, dtype=bool), k=1)
        image = axes.imshow(np.ma.masked_array(matrix, above), vmin=0, vmax=100, cmap="cividis")
        axes.set_title(textwrap.fill(summary.label, _WIDTH_OF_TITLES), fontsize=8, loc="left")
        axes.set_xticks(range(0, len(matrix), 2))
        axes.set_yticks(range(0, len(matrix), 2))
        axes.tick_params(labelsize=8)
    for axes in list(all_axes.flat)[len(summaries) :]:
        axes.set_axis_off()
    for axes in all_axes[:, 0]:
        axes.set_ylabel("experience trained last", fontsize=9)
    for axes in all_axes[-1]:
        axes.set_xlabel("test experience", fontsize=9)
    if image is not None:
        drawn.colorbar(image, ax=all_axes, label="accuracy (%)", shrink=0.8)
    drawn.suptitle(summaries[0].title, fontsize=11, x=0.01, ha="left")
    return style.save(drawn, path)
