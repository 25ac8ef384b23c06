"""Rasters that a strategy keeps itself, in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avalanche_snn.spikes import TimeCodec, make_codec
from avalanche_snn.training.packed_rows import PackedRows

_LARGEST_COUNT = 255
_CHUNK = 128


class PackedRasters:
    """Rasters of spikes or spike counts, each stored without loss in the code "rice", with its length.

    Args:
        rows: a code for each raster.
        n_time_steps: T.
        n_channels: C.
        dtype: in which they are given back.
    """

    # Beyond what `bytes_of_samples` counts: lengths may take 4 bytes instead of 2, but the label is not here.
    MOST_EXTRA_BYTES = 1

    def __init__(self, rows: PackedRows, n_time_steps: int, n_channels: int, dtype: torch.dtype) -> None:
        self.rows = rows
        self.n_time_steps = n_time_steps
        self.n_channels = n_channels
        self.dtype = dtype

    @classmethod
    def of(cls, rasters: Tensor) -> PackedRasters:
        """Pack rasters `[B, T, C]`, B from 1 on.

        Raises:
            ValueError: values that are no whole numbers from 0 to 255.
        """
        _, n_time_steps, n_channels = rasters.shape
        codec = _rice(n_time_steps, n_channels)
        matrix = codec.encode(rasters.cpu())
        length_dtype = torch.int16 if codec.max_row_bytes < 2**15 else torch.int32
        rows = PackedRows.of(matrix, codec.row_bytes(matrix), codec.max_row_bytes, length_dtype)
        return cls(rows, n_time_steps, n_channels, rasters.dtype)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bytes_each(self) -> NDArray[np.int64]:
        """Bytes of each raster with its length, `[B]`."""
        sizes: NDArray[np.int64] = self.rows.row_bytes().numpy()
        return sizes

    def keep(self, positions: Tensor) -> PackedRasters:
        """Return some of them, packed."""
        return PackedRasters(self.rows.keep(positions), self.n_time_steps, self.n_channels, self.dtype)

    def unpacked(self) -> Tensor:
        """Return them as they came: `[B, T, C]`, on the CPU."""
        codec = _rice(self.n_time_steps, self.n_channels)
        chunks = torch.split(torch.arange(len(self)), _CHUNK)
        return torch.cat([codec.decode(self.rows.take(chunk), torch.uint8).to(self.dtype) for chunk in chunks])

    def state(self) -> list[Any]:
        """Return all that they are, as plain data."""
        dtype = str(self.dtype).removeprefix("torch.")
        return [self.rows.data, self.rows.lengths, self.rows.width, self.n_time_steps, self.n_channels, dtype]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> PackedRasters:
        """Return those that `state` was asked of."""
        data, lengths, width, n_time_steps, n_channels, dtype = state
        return cls(PackedRows(data, lengths, width), n_time_steps, n_channels, getattr(torch, dtype))


def _rice(n_time_steps: int, n_channels: int) -> TimeCodec:
    # Rows say by themselves how many bits their counts have.
    return make_codec("rice", n_time_steps, n_channels, _LARGEST_COUNT)
