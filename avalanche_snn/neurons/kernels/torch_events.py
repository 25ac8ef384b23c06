"""Sparse spikes in torch operations: lists of events, each of which adds a row of a table.

At the density of SHD (6 % of the cells at 700 channels and 100 steps) looking up and summing rows of weights costs a
tenth of the dense product; most of the time then goes into listing the events.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_MIN_CELLS = 2**17
_MIN_NEURONS = 100
_MAX_DENSITY = 0.2


class Events(NamedTuple):
    """The spikes of `[R, C]` (R = N M rows), row by row; a cell that holds n stands there n times.

    Attributes:
        channels: int32 `[E]`.
        starts: int32 `[R]`, the first event of each row.
        n_channels: C.
    """

    channels: Tensor
    starts: Tensor
    n_channels: int


def events_pay(x: Tensor, weight: Tensor) -> bool:
    """Whether an input `[N, M, C]` may be worth listing: a large one, for many neurons, on the CPU."""
    return (
        x.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.float64)
        and x.numel() >= _MIN_CELLS
        and weight.shape[0] >= _MIN_NEURONS
    )


def list_events(x: Tensor) -> Events | None:
    """List the events of `[N, M, C]` on the CPU, in any order of memory.

    Returns None where it does not pay: too many spikes, or cells that hold anything but whole numbers from 0 on.
    """
    n_rows, n_channels = x.shape[0] * x.shape[1], x.shape[2]
    x = x.detach()
    cells = _set_cells(x.bool().reshape(-1).numpy())
    if cells is None:
        return None
    first_cells = np.arange(0, n_rows * n_channels, n_channels)
    starts = np.searchsorted(cells, first_cells)
    n_events = np.diff(starts, append=len(cells))
    channels = cells - np.repeat(first_cells, n_events)
    if x.dtype != torch.bool:
        held = _held(x, channels, n_events)
        if held.min(initial=1) < 1 or (held != np.floor(held)).any() or held.sum() > _MAX_DENSITY * x.numel():
            return None
        if held.max(initial=1) > 1:
            counts = held.astype(np.int64)
            starts = np.insert(np.cumsum(counts), 0, 0)[starts]
            channels = np.repeat(channels, counts)
    return Events(torch.from_numpy(channels.astype(np.int32)), torch.from_numpy(starts.astype(np.int32)), n_channels)


def _set_cells(is_set: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    return None if np.count_nonzero(is_set) > _MAX_DENSITY * is_set.size else np.flatnonzero(is_set)


def _held(x: Tensor, channels: NDArray[np.int64], n_events: NDArray[np.int64]) -> NDArray[Any]:
    """What the cells of the events hold, read where they are: moving all cells into order would take longer."""
    if x.stride(2) != 1:
        x = x.contiguous()
    rows = np.arange(x.shape[0])[:, None] * x.stride(0) + np.arange(x.shape[1]) * x.stride(1)
    cells = np.repeat(rows.reshape(-1), n_events) + channels
    reached = x.as_strided((int(cells.max(initial=-1)) + 1,), (1,))
    held = reached.index_select(0, torch.from_numpy(cells))
    # numpy has no bfloat16.
    return np.asarray(held.float() if held.dtype == torch.bfloat16 else held)


def sum_rows(events: Events, weight: Tensor) -> Tensor:
    """Events `[R, C]` times the transpose of a weight `[H, C]`: `[R, H]`."""
    return functional.embedding_bag(events.channels, weight.T.contiguous(), events.starts, mode="sum")


def weight_gradient(events: Events, grad_rows: Tensor) -> Tensor:
    """Gradient `[H, C]` of a weight that events `[R, C]` were multiplied by, from that of the product `[R, H]`."""
    channels, n_rows = events.channels.numpy(), len(events.starts)
    # Sorted as one number each, channel before row: much quicker than finding the order of the channels.
    kind = np.uint32 if n_rows * events.n_channels < 2**32 else np.uint64
    rows = np.repeat(np.arange(n_rows, dtype=kind), np.diff(events.starts.numpy(), append=len(channels)))
    first_of_channel = np.arange(events.n_channels, dtype=kind) * kind(n_rows)
    ordered = np.sort(first_of_channel[channels] + rows)
    starts = np.searchsorted(ordered, first_of_channel)
    rows = (ordered - np.repeat(first_of_channel, np.diff(starts, append=len(ordered)))).astype(np.int32)
    return functional.embedding_bag(
        torch.from_numpy(rows), grad_rows, torch.from_numpy(starts.astype(np.int32)), mode="sum"
    ).T
