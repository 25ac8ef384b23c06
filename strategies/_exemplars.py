"""Avalanche's buffers of exemplars, with a budget in bytes where Avalanche counts samples.

A buffer refers to samples of the data set. What a sample costs is what `avalanche_snn.evaluation` counts for it: stored
without loss in as few whole bits a cell as the largest sample of the experience needs, and a byte for the label.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.storage_policy import (
    ClassBalancedBuffer,
    ExemplarsBuffer,
    ParametricBuffer,
    ReservoirSamplingBuffer,
)
from torch import Tensor

from avalanche_snn.benchmarks.whole_batches import rasters_of
from avalanche_snn.evaluation.memory import bytes_of_a_sample
from avalanche_snn.spikes import pack, planes_for
from avalanche_snn.training import BudgetTooSmallError, format_memory_size, parse_memory_size

_CHUNK = 256


def samples_within(memory: str | int, bytes_each: int, n_least: int, what_for: str = "one of each class") -> int:
    """Return how many samples a budget holds.

    Raises:
        BudgetTooSmallError: fewer than `n_least`.
    """
    budget = parse_memory_size(memory)
    n_samples = sys.maxsize if budget is None else budget // bytes_each
    if n_samples < n_least:
        least = n_least * bytes_each
        raise BudgetTooSmallError(
            f"memory={memory!r} is too small for {n_least} exemplars, {what_for}: "
            f"{format_memory_size(least)} is the least that works.",
            least,
        )
    return n_samples


def n_classes_of(experience: Any) -> int:
    """Return how many classes the whole benchmark has, as far as the experience tells."""
    known = [getattr(experience, name, None) or [] for name in ("classes_seen_so_far", "future_classes")]
    return len({int(label) for label in experience.dataset.targets}.union(*known))


def set_size(buffer: ExemplarsBuffer, n_samples: int, strategy: Any) -> None:
    """Let a buffer hold at most so many samples; what is beyond that goes."""
    if len(buffer.buffer) == 0:
        buffer.max_size = n_samples  # Avalanche's balanced buffers cannot be resized before they hold something
    elif n_samples < buffer.max_size:
        buffer.resize(strategy, n_samples)


class InBytes(ExemplarsBuffer):
    """Gives the buffer that stands behind it in a list of base classes a budget in bytes.

    Args:
        memory: like "160 kB".
        options: of the buffer.
    """

    def __init__(self, memory: str | int, **options: Any) -> None:
        super().__init__(0, **options)
        parse_memory_size(memory)  # a bad size should not wait for the first experience
        self.memory = memory
        self._bytes_each = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What the buffer was made with."""
        return {"memory": parse_memory_size(self.memory)}

    def fit(self, strategy: Any, experience: Any) -> None:
        """Work out how many samples the budget holds, now that this experience has come.

        Raises:
            BudgetTooSmallError: fewer than one of each class.
        """
        of_these = bytes_of_a_sample(experience.dataset) + self.extra_bytes(strategy, experience)
        self._bytes_each = max(self._bytes_each, of_these)
        set_size(self, samples_within(self.memory, self._bytes_each, n_classes_of(experience)), strategy)

    def extra_bytes(self, strategy: Any, experience: Any) -> int:
        """Bytes that are stored beside each sample and its label."""
        return 0

    def post_adapt(self, agent: Any, exp: Any) -> None:
        """Take in samples of an experience."""
        self.fit(agent, exp)
        super().post_adapt(agent, exp)


class ClassBalancedInBytes(InBytes, ClassBalancedBuffer):
    """As many samples of each class, drawn by reservoir sampling."""


class ReservoirInBytes(InBytes, ReservoirSamplingBuffer):
    """A uniform draw from all samples that have come."""


class ParametricInBytes(InBytes, ParametricBuffer):
    """Groups and selection as `ParametricBuffer` is told."""


class RequireRoom(SupervisedPlugin):
    """See before an experience is trained, and not after it, that the budget is large enough."""

    def __init__(self, buffer: InBytes) -> None:
        super().__init__()
        self._buffer = buffer

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Raise BudgetTooSmallError if it is not."""
        self._buffer.fit(strategy, strategy.experience)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the buffer."""
        return self._buffer.settings

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the buffer is saved by what replays from it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take nothing over."""


def packed(rasters: Tensor) -> Tensor:
    """Pack rasters `[B, T, C]` of spike counts without loss, into as few bits a cell as the largest needs."""
    return pack(rasters, planes_for(max(1, int(rasters.max()))) if rasters.numel() else 1)


def bytes_of_packed(dataset: Any) -> int:
    """Return the most bytes that `packed` needs for a sample of this data set."""
    n_samples = len(dataset)
    chunks = (range(start, min(start + _CHUNK, n_samples)) for start in range(0, n_samples, _CHUNK))
    largest = max(int(rasters_of(dataset, chunk).max()) for chunk in chunks)
    return pack(torch.zeros_like(rasters_of(dataset, [0])), planes_for(max(1, largest))).nbytes
