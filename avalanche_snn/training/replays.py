"""Exemplars as the minibatches of an experience have them, with as little work in each minibatch as can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from avalanche_snn.training.exemplar_memory import ExemplarMemory

_CHUNK = 256


class Replays(Protocol):
    """What gives the exemplars of a memory."""

    @property
    def nbytes(self) -> int:
        """Bytes held beside the memory."""

    def take(self, numbers: Tensor, like: Tensor) -> Tensor:
        """Return exemplars `[n, ...]`.

        Args:
            numbers: of the exemplars, int64 `[n]`, as `ExemplarMemory.draw` returns them.
            like: the samples that they go with, whose dtype and device they have.
        """


class PackedReplays:
    """All exemplars, restored once and packed as the network takes latents.

    They take as many bytes as latents that are not compressed, but only while an experience is trained.

    Args:
        memory: that the exemplars are in; what becomes of it later does not show.
        repack: latents `[B, T', H]` -> packed latents uint8 `[B, T', ceil(H/8), P]`.
        device: of `repack`.
    """

    def __init__(self, memory: ExemplarMemory, repack: Callable[[Tensor], Tensor], device: torch.device) -> None:
        chunks = torch.split(torch.arange(len(memory)), _CHUNK)
        self._packed = torch.cat([repack(memory.restore(numbers).to(device)).cpu() for numbers in chunks])

    @property
    def nbytes(self) -> int:
        """Bytes of the packed latents."""
        return self._packed.nbytes

    def take(self, numbers: Tensor, like: Tensor) -> Tensor:
        """Return packed latents."""
        return self._packed.index_select(0, numbers).to(like)


class RestoredReplays:
    """Rasters, restored for each minibatch: all of them at once would be as large as the data.

    Args:
        memory: that the exemplars are in.
    """

    nbytes = 0

    def __init__(self, memory: ExemplarMemory) -> None:
        self._memory = memory

    def take(self, numbers: Tensor, like: Tensor) -> Tensor:
        """Return rasters `[n, T, C]`."""
        return self._memory.restore(numbers, like.dtype).to(like.device)
