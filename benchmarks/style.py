"""One look for all figures: colours that colour-blind readers can tell apart, readable at the width of a README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito (2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
Look = dict[str, Any]
# An axis on which more than the powers of ten have no room.
_LONG = 300


def look(number: int) -> Look:
    """Return colour and marker of one of many curves; the first 64 differ."""
    turn, place = divmod(number, len(COLOURS))
    return {"color": COLOURS[place], "marker": MARKERS[(place + turn) % len(MARKERS)]}


def figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """Return an empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def label(axes: Axes, x: str, y: str, title: str) -> None:
    """Give axes their labels, with units, and a title."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def log_axis(axes: Axes) -> None:
    """Make the x axis logarithmic, with ticks at 1, 2, 5, 10, ... written out, or at 1, 10, ... where it is long."""
    axes.set_xscale("log")
    lowest, highest = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if highest > _LONG * lowest else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def save(drawn: Figure, path: Path) -> Path:
    """Write a PNG without anything that changes from one time to the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=130, metadata={"Software": None})
    return path
