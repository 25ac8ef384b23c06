"""From the events of many samples to cached rasters, counting what gets lost on the way."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from avalanche_snn.datasets.raster_cache import RasterWriter
from avalanche_snn.spikes.binning import bin_events

logger = logging.getLogger(__name__)

_SAMPLES_AT_ONCE = 256


@dataclass(frozen=True)
class Binning:
    """How events become a raster.

    Attributes:
        n_time_steps: T.
        duration_ms: what the T time steps span, in ms; later events are dropped.
        n_channels: C, a divisor of the number of units: neighbouring units share a channel.
        binary: keep only whether there was a spike, not how many.
        n_units: units the events come from.
    """

    n_time_steps: int
    duration_ms: float
    n_channels: int
    binary: bool
    n_units: int = 700

    def __post_init__(self) -> None:
        """Let wrong parameters fail here, before any file is looked for."""
        for what in ("n_time_steps", "n_channels"):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{what}: a whole number was wanted, {value!r} came")
        if isinstance(self.duration_ms, bool) or not isinstance(self.duration_ms, (int, float, np.number)):
            raise TypeError(f"duration_ms: a number of milliseconds was wanted, {self.duration_ms!r} came")
        self.raster(np.zeros(0), np.zeros(0, np.int64))

    def raster(self, times_s: npt.NDArray[np.float64], units: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Raster uint8 ``[T, C]`` of one sample's events."""
        return bin_events(times_s, units, **asdict(self))

    def parameters(self) -> dict[str, Any]:
        """Every parameter the rasters depend on, as the key of a cache wants them."""
        return {
            "n_time_steps": int(self.n_time_steps),
            "duration_ms": float(self.duration_ms),
            "n_channels": int(self.n_channels),
            "binary": bool(self.binary),
            "n_units": int(self.n_units),
        }

    def fingerprint(self) -> int:
        """A number that changes when the convention of binning does: checksum of the raster of events on its edges."""
        times_s = np.linspace(0.0, self.duration_ms / 1000.0, 4 * self.n_time_steps + 1)
        units = np.arange(len(times_s)) * 11 % self.n_units
        return zlib.crc32(self.raster(times_s, units).data)

    def file_name(self, source: str) -> str:
        """Name for the rasters of ``source`` that tells a person what they are."""
        kind = "binary" if self.binary else "counts"
        return f"{source}_{self.n_time_steps}steps_{self.duration_ms:g}ms_{self.n_channels}channels_{kind}"


@dataclass(frozen=True)
class Losses:
    """What the rasters do not show: empty samples, and events at or past the end."""

    n_empty_samples: int
    n_dropped_events: int


def write_rasters(
    events: Iterable[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]],
    n_samples: int,
    binning: Binning,
    writer: RasterWriter,
    source: str,
) -> Losses:
    """Bin the events of each sample and append them to a raster file, with a progress bar.

    Args:
        events: times in s and units of each sample.
        n_samples: how many samples ``events`` has.
        binning: how to bin.
        writer: where the rasters go.
        source: the file (or whatever else) that the events come from, as messages name it.

    Returns:
        How many samples are empty and how many events were dropped, which is logged as well if there are any.

    Raises:
        ValueError: a sample with more spikes in a cell than a raster can hold.
    """
    n_empty = n_dropped = 0
    chunk: list[npt.NDArray[np.uint8]] = []
    progress = tqdm(events, total=n_samples, desc=f"binning {Path(source).name}", unit=" samples", delay=0.5)
    for sample, (times_s, units) in enumerate(progress):
        try:
            chunk.append(binning.raster(times_s, units))
        except ValueError as error:
            raise ValueError(f"{source}, sample {sample}: {error}") from None
        n_empty += len(times_s) == 0
        n_dropped += int(np.count_nonzero(times_s >= binning.duration_ms / 1000.0))
        if len(chunk) == _SAMPLES_AT_ONCE:
            writer.append(np.stack(chunk))
            chunk.clear()
    writer.append(np.stack(chunk) if chunk else np.zeros((0, binning.n_time_steps, binning.n_channels), np.uint8))
    if n_empty:
        logger.warning("%s: %d of %d samples have no event at all: all-zero rasters", source, n_empty, n_samples)
    if n_dropped:
        logger.warning(
            "%s: %d events at or after %g ms are dropped (duration_ms)", source, n_dropped, binning.duration_ms
        )
    return Losses(n_empty_samples=n_empty, n_dropped_events=n_dropped)
