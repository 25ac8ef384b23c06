"""The counts that a code restores, which may be larger than those that were stored."""

from __future__ import annotations

import torch

from avalanche_snn.spikes import TimeCodec


def require_room_in(dtype: torch.dtype, codec: TimeCodec) -> None:
    """Raise ValueError when rasters of a dtype cannot hold all that a code restores."""
    silence = torch.zeros((1, codec.n_time_steps, codec.n_features))
    try:
        codec.decode(codec.encode(silence), dtype)
    except ValueError as error:
        raise ValueError(
            f"The code {codec.spec!r} restores larger counts than the rasters of this data set can hold: {error} Load "
            "the rasters as float32, or take another code."
        ) from None


def largest_restored(codec: TimeCodec) -> int:
    """Return the largest value that a code restores: counts where windows are counted."""
    fullest = torch.full((1, codec.n_time_steps, codec.n_features), float(codec.max_count))
    return int(codec.decode(codec.encode(fullest)).max())
