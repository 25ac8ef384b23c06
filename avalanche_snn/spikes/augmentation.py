"""Random changes of rasters that leave the word what it is: shifts, another pace, and lost events.

Each takes one raster `[T, C]` or a batch `[B, T, C]`, in which every sample has a draw of its own, and returns new
tensors of the same shape and dtype. They say so with `takes_batches = True`, by which a loader knows that it may hand
over a whole minibatch; a transform without that attribute is called for every sample.

All draw from torch's global random generator, as `torch.manual_seed` seeds it and as torch seeds it anew in each worker
process of a loader; a generator of their own would make every worker draw the same. Each by itself, a batch draws what
its samples would draw one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SAME_WIDTH = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class ChannelShift:
    """Shift all channels of a raster by one random number of channels, up or down.

    What leaves the raster is lost; channels that come in are silent.

    Args:
        max_channels: shifts are drawn evenly from -max_channels to max_channels; above 0 is towards higher channels.

    Raises:
        TypeError: `max_channels` is no int.
        ValueError: it is negative.
    """

    takes_batches = True

    def __init__(self, max_channels: int) -> None:
        self.max_channels = _extent("max_channels", max_channels)

    def __call__(self, rasters: Tensor) -> Tensor:
        """Return rasters `[T, C]` or `[B, T, C]` shifted."""
        batch = _as_batch(rasters)
        shifts = _shifts(self.max_channels, len(batch))
        n_channels, margin = batch.shape[2], self.max_channels
        cells = _cells(batch)
        padded = np.empty((*cells.shape[:2], n_channels + 2 * margin), cells.dtype)
        padded[:, :, :margin] = 0
        padded[:, :, margin : margin + n_channels] = cells
        padded[:, :, margin + n_channels :] = 0
        # Every window of C neighbouring channels, [B, 2 * margin + 1, T, C], without a copy.
        windows = np.lib.stride_tricks.sliding_window_view(padded, n_channels, axis=2).swapaxes(1, 2)
        return _like(rasters, windows[np.arange(len(cells)), margin - shifts])

    def __repr__(self) -> str:
        return f"ChannelShift({self.max_channels})"


class TimeShift:
    """Shift a raster by one random number of time steps, forth or back.

    What leaves the raster is lost; time steps that come in are silent.

    Args:
        max_steps: shifts are drawn evenly from -max_steps to max_steps; above 0 is towards later time steps.

    Raises:
        TypeError: `max_steps` is no int.
        ValueError: it is negative.
    """

    takes_batches = True

    def __init__(self, max_steps: int) -> None:
        self.max_steps = _extent("max_steps", max_steps)

    def __call__(self, rasters: Tensor) -> Tensor:
        """Return rasters `[T, C]` or `[B, T, C]` shifted."""
        batch = _as_batch(rasters)
        return shifted_in_time(batch, _shifts(self.max_steps, len(batch))).reshape(rasters.shape)

    def __repr__(self) -> str:
        return f"TimeShift({self.max_steps})"


class TimeStretch:
    """Play a raster faster or slower, by one random factor: a spike at time step t comes to (t + 1/2) * factor.

    Spikes that come to the same cell add up (to 255 at most where cells are bytes); what leaves the raster is lost.

    Args:
        max_share: factors are drawn evenly from 1 - max_share to 1 + max_share, 0 to 0.5.

    Raises:
        TypeError: `max_share` is no number.
        ValueError: it is below 0 or above 0.5.
    """

    takes_batches = True

    def __init__(self, max_share: float) -> None:
        self.max_share = checked_share("max_share", max_share, 0.5)

    def __call__(self, rasters: Tensor) -> Tensor:
        """Return rasters `[T, C]` or `[B, T, C]` at another pace."""
        batch = _as_batch(rasters)
        n_samples, n_steps, n_channels = batch.shape
        factors = 1.0 + self.max_share * (2.0 * torch.rand(n_samples, dtype=torch.float64) - 1.0)
        # Step u is played by the steps t with u <= (t + 1/2) * factor < u + 1: none, one, or two where time is short.
        edges = torch.arange(n_steps + 1, dtype=torch.float64) / factors.unsqueeze(1) - 0.5
        first = edges.ceil().to(torch.int64)
        n_sources = (first[:, 1:].clamp(max=n_steps) - first[:, :-1]).clamp(min=0)
        starts = torch.arange(n_samples).unsqueeze(1) * n_steps
        rows = (starts + first[:, :-1].clamp(max=max(0, n_steps - 1))).flatten().to(batch.device)
        cells = batch.reshape(n_samples * n_steps, n_channels)
        stretched = cells[rows]
        n_sources = n_sources.flatten().to(batch.device)
        stretched[n_sources == 0] = 0
        twice = (n_sources == 2).nonzero().flatten()
        stretched[twice] = _sum_of(stretched[twice], cells[rows[twice] + 1])
        return stretched.reshape(rasters.shape)

    def __repr__(self) -> str:
        return f"TimeStretch({self.max_share:g})"


class EventDrop:
    """Lose each spike of a raster with a probability, whatever becomes of the others.

    A cell that counts several spikes loses each of them by itself.

    Args:
        share: the probability, from 0 to 1.

    Raises:
        TypeError: `share` is no number.
        ValueError: it is below 0 or above 1.
    """

    takes_batches = True

    def __init__(self, share: float) -> None:
        self.share = checked_share("share", share)

    def __call__(self, rasters: Tensor) -> Tensor:
        """Return rasters `[T, C]` or `[B, T, C]`, of spikes or spike counts, with fewer spikes.

        Raises:
            ValueError: values that are no counts.
        """
        cells = _cells(_as_batch(rasters)).flatten()
        # Compared first: numpy finds what is true in bools several times quicker than what is not 0 in numbers.
        places = np.flatnonzero(cells != 0)
        values = torch.from_numpy(cells[places]).view(rasters.dtype)
        counts = values.to(torch.int64)
        if (counts < 0).any() or not torch.equal(counts.to(values.dtype), values):
            raise ValueError("EventDrop: rasters of spikes or spike counts were wanted, but other values came")
        events = np.repeat(np.arange(len(places)), counts.numpy())
        lost = events[np.flatnonzero(torch.rand(len(events)).numpy() < self.share)]
        counts.index_add_(0, torch.from_numpy(lost), torch.full((len(lost),), -1))
        cells[places] = _cells(counts.to(values.dtype))
        return _like(rasters, cells)

    def __repr__(self) -> str:
        return f"EventDrop({self.share:g})"


class Composed:
    """Several changes, one after the other: a raster `[T, C]` or a batch `[B, T, C]` passes through all of them.

    Args:
        changes: of this module, or others that take batches.
    """

    takes_batches = True

    def __init__(self, *changes: Callable[[Tensor], Tensor]) -> None:
        self.changes = changes

    def __call__(self, rasters: Tensor) -> Tensor:
        """Return rasters of the same shape and dtype, changed."""
        for change in self.changes:
            rasters = change(rasters)
        return rasters

    def __repr__(self) -> str:
        return f"Composed({', '.join(map(repr, self.changes))})"


def shifted_in_time(batch: Tensor, shifts: NDArray[np.int64]) -> Tensor:
    """Shift each raster of a batch by a number of time steps of its own.

    Args:
        batch: `[B, T, C]`.
        shifts: int64 `[B]`, above 0 towards later time steps. What leaves a raster is lost; silence comes in.

    Returns:
        New rasters, on the same device.
    """
    cells = _cells(batch)
    n_samples, n_steps, n_channels = cells.shape
    source = np.arange(n_steps) - shifts[:, np.newaxis]
    outside = (source < 0) | (source >= n_steps)
    source[outside] = 0
    rows = np.arange(n_samples)[:, np.newaxis] * n_steps + source
    shifted = np.take(cells.reshape(n_samples * n_steps, n_channels), rows.reshape(-1), axis=0)
    shifted[outside.reshape(-1)] = 0
    return _like(batch, shifted)


def _as_batch(rasters: Tensor) -> Tensor:
    if rasters.dim() not in (2, 3):
        raise ValueError(
            f"A raster [T, C] or a batch of rasters [B, T, C] was wanted, but the shape {list(rasters.shape)} came."
        )
    return rasters if rasters.dim() == 3 else rasters.unsqueeze(0)


def _cells(batch: Tensor) -> NDArray[Any]:
    """Return the cells as integers of the same width, which numpy moves whatever they stand for."""
    return batch.contiguous().view(_SAME_WIDTH[batch.element_size()]).numpy(force=True)


def _like(rasters: Tensor, cells: NDArray[Any]) -> Tensor:
    """Return what `_cells` returned as rasters again."""
    return torch.from_numpy(cells).view(rasters.dtype).to(rasters.device).reshape(rasters.shape)


def _shifts(largest: int, n_samples: int) -> NDArray[np.int64]:
    """Draw int64 `[B]`, evenly from -largest to largest."""
    return torch.randint(-largest, largest + 1, (n_samples,)).numpy()


def _extent(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what}: a whole number from 0 was wanted, {value!r} came")
    if value < 0:
        raise ValueError(f"{what}: a whole number from 0 was wanted, {value} came")
    return value


def checked_share(what: str, value: float, largest: float = 1) -> float:
    """Return a share as a float; raise TypeError or ValueError where it is no number from 0 to the largest."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what}: a number from 0 to {largest:g} was wanted, {value!r} came")
    if not 0 <= value <= largest:
        raise ValueError(f"{what}: a number from 0 to {largest:g} was wanted, {value} came")
    return float(value)


def _sum_of(first: Tensor, second: Tensor) -> Tensor:
    """Add counts; bytes stay at the largest that they hold instead of beginning anew at 0."""
    if first.dtype == torch.bool:
        return first | second
    total = first + second
    return torch.where(total < first, 255, total) if total.dtype == torch.uint8 else total
