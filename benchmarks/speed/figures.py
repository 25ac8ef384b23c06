"""Figures of the record: who takes how long for a step, and how that grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks import style
from benchmarks.speed.contestants import PRODUCTS
from benchmarks.speed.record import SpeedRecord
from benchmarks.speed.tables import title_of

_UNITS = {
    "time steps": "time steps",
    "neurons": "neurons of the layer",
    "density (%)": "cells of the input that spike (%)",
}
_OURS, _OTHERS, _FLOOR = style.COLOURS[0], style.COLOURS[1], style.COLOURS[7]


def draw_speed(record: SpeedRecord, folder: Path, name: str) -> list[Path]:
    """Draw what the record has.

    Args:
        record: of the bench.
        folder: of the figures.
        name: that they begin with.

    Returns:
        The files written.
    """
    paths = []
    steps = [result for result in record.get("steps", {}).get("results", []) if "times" in result]
    if steps:
        paths.append(_draw_steps(steps, folder / f"{name}-step.png"))
    sweeps = record.get("sweeps", {}).get("results", [])
    if sweeps:
        paths.append(_draw_growth(sweeps, folder / f"{name}-growth.png"))
    return paths


def _draw_steps(steps: Sequence[dict[str, Any]], path: Path) -> Path:
    """Bars of a step in ms, whiskers from quartile to quartile; a panel for each network, in its first workload."""
    shown = list({result["title"]: result for result in reversed(steps)}.values())[::-1]
    drawn = style.figure(5.5 * len(shown), 4.2)
    for axes, result in zip(drawn.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        names = list(result["times"])
        spreads = [result["times"][name]["step"]["ms"] for name in names]
        medians = [spread["median"] for spread in spreads]
        whiskers = [
            [spread["median"] - spread["lower"] for spread in spreads],
            [spread["upper"] - spread["median"] for spread in spreads],
        ]
        colours = [_FLOOR if name == PRODUCTS else _OURS if "/" in name else _OTHERS for name in names]
        axes.barh(range(len(names)), medians, color=colours, xerr=whiskers, error_kw={"linewidth": 1})
        axes.set_yticks(range(len(names)), [_plain(name) for name in names])
        axes.invert_yaxis()
        axes.set_axisbelow(True)
        threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
        style.label(axes, "training step (ms)", "", f"{result['title']}\n{result['label']}, {threads}")
        axes.grid(False, axis="y")
    return style.save(drawn, path)


def _draw_growth(sweeps: Sequence[dict[str, Any]], path: Path) -> Path:
    """Milliseconds of forward and backward pass against what is varied, a panel each."""
    varied = list(dict.fromkeys(point["varied"] for point in sweeps))
    drawn = style.figure(3.8 * len(varied), 4.4)
    all_axes = drawn.subplots(1, len(varied), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(name for point in sweeps for name in point["times"]))
    for axes, what in zip(all_axes, varied, strict=True):
        points = [point for point in sweeps if point["varied"] == what]
        for number, name in enumerate(names):
            measured = [point for point in points if name in point["times"]]
            look = style.look(number) if name != PRODUCTS else {"color": _FLOOR, "marker": "", "linestyle": "--"}
            axes.plot(
                [point["value"] for point in measured],
                [point["times"][name]["forward and backward"]["ms"]["median"] for point in measured],
                label=_plain(name),
                **look,
            )
        style.log_axis(axes)
        _log_milliseconds(axes)
        first = axes is all_axes[0]
        style.label(axes, _UNITS[what], "forward and backward pass (ms)" if first else "", "")
    handles, labels = all_axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=2 * len(varied), fontsize=9, frameon=False)
    drawn.suptitle(f"{sweeps[0]['base']}, 1 thread; one of these changed at a time", fontsize=11)
    return style.save(drawn, path)


def _log_milliseconds(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(name: str) -> str:
    return title_of(name).replace("`", "").replace("*", "")
