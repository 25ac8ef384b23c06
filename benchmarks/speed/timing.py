"""Who takes how long: everyone in turn, round after round, so that load and clock drift hit all alike."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.speed.contestants import MEASURES, Contestant


def time_in_turn(
    contestants: Mapping[str, Contestant], n_rounds: int, base: str, after_round: Callable[[], object]
) -> dict[str, dict[str, Any]]:
    """Time contestants against each other.

    Args:
        contestants: by name, each warmed up.
        n_rounds: in each of which everyone runs once, in one order and the next time in the other.
        base: who the others are compared with.
        after_round: called after each round.

    Returns:
        By name and measure: milliseconds, and how many times faster than `base` in the same round, as medians with
        lower and upper quartiles; the ratio's median is the ratio of the medians.
    """
    seconds: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in MEASURES} for name in contestants}
    # What is alive now stays alive: the collector need not look at it between measurements.
    gc.collect()
    gc.freeze()
    try:
        for number in range(n_rounds):
            order = list(contestants.items())
            for name, contestant in order if number % 2 == 0 else reversed(order):
                gc.collect()
                forward = contestant.forward()
                gc.collect()
                for measure, value in zip(MEASURES, (forward, *contestant.train()), strict=True):
                    seconds[name][measure].append(value)
            after_round()
    finally:
        gc.unfreeze()
    return {
        name: {
            measure: {"ms": spread([1000 * value for value in values])}
            | ({"faster": _compared(seconds[base][measure], values)} if base in seconds else {})
            for measure, values in by_measure.items()
        }
        for name, by_measure in seconds.items()
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lower and upper quartile."""
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [*values]
    return {"median": round(median, 4), "lower": round(lower, 4), "upper": round(upper, 4)}


def _compared(base: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    ratios = spread([before / after for before, after in zip(base, values, strict=True)])
    return ratios | {"median": round(statistics.median(base) / statistics.median(values), 4)}
