"""Events (a time and a unit each) binned into rasters of spike counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LARGEST_COUNT = 255


def bin_events(
    times_s: npt.ArrayLike,
    units: npt.ArrayLike,
    *,
    n_time_steps: int = 100,
    duration_ms: float = 1400.0,
    n_units: int = 700,
    n_channels: int = 700,
    binary: bool = False,
) -> npt.NDArray[np.uint8]:
    """Bin the events of one sample into a raster.

    Time step k holds the events with k * duration_ms / n_time_steps <= time < (k + 1) * duration_ms / n_time_steps,
    compared in float64, whatever the precision of the times. Events at or past `duration_ms` are dropped.

    Args:
        times_s: `[E]` event times in seconds, in any order, float16 to float64.
        units: `[E]` integer index of the unit of each event, 0 <= unit < n_units.
        n_time_steps: T, rows of the raster.
        duration_ms: time covered by the raster, in ms.
        n_units: units of the recording.
        n_channels: C, columns of the raster; a divisor of `n_units`: neighbours are summed.
        binary: store 1 where there is any event, instead of the number of events.

    Returns:
        uint8 `[T, C]`.

    Raises:
        ValueError: times that are negative or not finite, a unit outside the recording, lengths that differ, settings
            that make no raster, or more than 255 events in a cell.
    """
    _check_settings(n_time_steps, duration_ms, n_units, n_channels)
    times, indices = _check_events(np.asarray(times_s), np.asarray(units), n_units)
    inside = times < duration_ms / 1000.0
    # The edges, rather than a division of the times, decide: a time that equals an edge then never rounds below it.
    edges_s = np.arange(n_time_steps) * duration_ms / (1000.0 * n_time_steps)
    steps = np.searchsorted(edges_s, times[inside], side="right") - 1
    cells = steps * n_channels + indices[inside] // (n_units // n_channels)
    counts = np.bincount(cells, minlength=n_time_steps * n_channels).reshape(n_time_steps, n_channels)
    if binary:
        return (counts > 0).astype(np.uint8)
    if counts.max() > _LARGEST_COUNT:
        step, channel = np.unravel_index(counts.argmax(), counts.shape)
        raise ValueError(
            f"At most {_LARGEST_COUNT} events fit in a cell, but {counts.max()} fall in time step {step} of channel "
            f"{channel}. Use more time steps (n_time_steps={n_time_steps} now), more channels "
            f"(n_channels={n_channels} of {n_units} now) or binary=True."
        )
    return counts.astype(np.uint8)


def _check_settings(n_time_steps: int, duration_ms: float, n_units: int, n_channels: int) -> None:
    if n_time_steps < 1:
        raise ValueError(f"n_time_steps must be at least 1, but {n_time_steps} came.")
    if not (0 < duration_ms < float("inf")):
        raise ValueError(f"duration_ms must be a positive time in milliseconds, but {duration_ms} came.")
    if n_units < 1:
        raise ValueError(f"n_units must be at least 1, but {n_units} came.")
    if n_channels < 1 or n_units % n_channels != 0:
        divisors = (number for number in range(1, n_units + 1) if n_units % number == 0)
        nearest = sorted(sorted(divisors, key=lambda number: abs(number - n_channels))[:6])
        raise ValueError(
            f"n_channels must divide the {n_units} units, so that every channel sums as many neighbours, "
            f"but {n_channels} came. The nearest that do: {', '.join(map(str, nearest))}."
        )


def _check_events(
    times: npt.NDArray[np.generic], units: npt.NDArray[np.generic], n_units: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return times as float64 and units as int64, `[E]` each, having checked both."""
    if times.ndim != 1 or times.shape != units.shape:
        raise ValueError(
            f"times_s and units must be one-dimensional and as long as each other, "
            f"but shapes {list(times.shape)} and {list(units.shape)} came."
        )
    if times.size == 0:
        return np.empty(0, dtype=np.float64), np.empty(0, dtype=np.int64)
    if not np.issubdtype(units.dtype, np.integer):
        raise ValueError(f"units must be integers, but {units.dtype} came.")
    seconds = times.astype(np.float64)
    if not np.isfinite(seconds).all():
        event = int(np.flatnonzero(~np.isfinite(seconds))[0])
        raise ValueError(f"Event times must be finite, but event {event} is at {seconds[event]} s.")
    if seconds.min() < 0:
        event = int(seconds.argmin())
        raise ValueError(f"Event times must not be negative, but event {event} is at {seconds[event]:g} s.")
    indices = units.astype(np.int64)
    lowest, highest = int(indices.min()), int(indices.max())
    if lowest < 0 or highest >= n_units:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"Units must lie between 0 and {n_units - 1}, but {wrong} came.")
    return seconds, indices
