"""Exemplars within a budget in bytes, where Avalanche counts samples.

What a sample costs is what `avalanche_snn.evaluation` counts for it: its raster in the code "rice", which loses
nothing, two bytes for the length of that code, and a byte for the label. Samples differ in size, so buffers take in
more than fits, and are cut to the largest number of exemplars whose bytes are within the budget, as many of each class.

Avalanche's buffers refer to samples of the data set. For methods that keep rasters of their own see `_packed_rasters`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from avalanche.core import SupervisedPlugin
from avalanche.training.storage_policy import (
    BalancedExemplarsBuffer,
    ClassBalancedBuffer,
    ExemplarsBuffer,
    ParametricBuffer,
    ReservoirSamplingBuffer,
)
from numpy.typing import NDArray

from avalanche_snn.evaluation.memory import bytes_of_samples
from avalanche_snn.training import BudgetTooSmallError, format_memory_size, parse_memory_size

# To look at all samples of a long experience would take as long as an epoch or more.
_LOOKED_AT = 256


def require_room(memory: str | int, n_least: int, bytes_each: int, what_for: str = "one of each class") -> None:
    """See that a budget holds a number of exemplars.

    Raises:
        BudgetTooSmallError: it does not.
    """
    budget, least = parse_memory_size(memory), n_least * bytes_each
    if budget is not None and budget < least:
        raise BudgetTooSmallError(
            f"memory={memory!r} is too small for {n_least} exemplars, {what_for}: "
            f"{format_memory_size(least)} is the least that works.",
            least,
        )


def require_a_share(memory: str | int, n_trained: int, n_experiences: int) -> None:
    """See that there is a share left of a budget that the experiences of a stream share out among them.

    Raises:
        ValueError: as many as the stream has were trained before.
    """
    if parse_memory_size(memory) is not None and n_trained >= n_experiences:
        raise ValueError(
            f"memory={memory!r} is shared out among the {n_experiences} experiences of the stream, all of which have "
            "had their turn: train each once, or with memory='unlimited'."
        )


def n_classes_of(experience: Any) -> int:
    """Return how many classes the whole benchmark has, as far as the experience tells."""
    known = [getattr(experience, name, None) or [] for name in ("classes_seen_so_far", "future_classes")]
    return len({int(label) for label in experience.dataset.targets}.union(*known))


def bytes_of_some(dataset: Any) -> NDArray[np.int64]:
    """Return what the first samples of a data set cost, `[n]`, as many as tell how large its samples are."""
    return bytes_of_samples(dataset.subset(list(range(min(len(dataset), _LOOKED_AT)))))


class Costs:
    """What exemplars of a group cost, in the order in which they are kept; looked up as far as is asked for.

    Args:
        n_samples: of the group.
        bytes_of: gives the bytes of the samples at some positions.
    """

    def __init__(self, n_samples: int, bytes_of: Callable[[range], NDArray[np.int64]]) -> None:
        self._n_samples = n_samples
        self._bytes_of = bytes_of
        self._sums = [0]

    @classmethod
    def of_samples(cls, dataset: Any, extra_bytes: int = 0) -> Costs:
        """Return those of the samples of a data set, with what is stored beside each."""
        return cls(len(dataset), lambda positions: bytes_of_samples(dataset.subset(list(positions))) + extra_bytes)

    def __len__(self) -> int:
        return self._n_samples

    def of_first(self, n_samples: int) -> int:
        """Return the bytes of the first `n_samples`, or of all where there are fewer."""
        n_samples, n_known = min(n_samples, len(self)), len(self._sums) - 1
        if n_samples > n_known:
            sizes = self._bytes_of(range(n_known, n_samples))
            self._sums.extend((self._sums[-1] + np.cumsum(sizes)).tolist())
        return self._sums[n_samples]


def lengths_within(groups: Sequence[Costs], room: int | None) -> list[int]:
    """Return how many exemplars of each group fit, from the first on.

    As many of each group as of any other, and one more of the first groups; what a group does not have, others may.

    Args:
        groups: none of them empty.
        room: bytes, enough for one of each group; None for no limit.
    """
    n_all = [len(group) for group in groups]
    if room is None or not groups:
        return n_all

    def lengths(n: int) -> list[int]:
        each, more = divmod(n, len(groups))
        return [min(each + (number < more), limit) for number, limit in enumerate(n_all)]

    def cost(n: int) -> int:
        return sum(group.of_first(length) for group, length in zip(groups, lengths(n), strict=True))

    # Forward by the mean cost so far, which seldom looks up much more than fits, then between the last two numbers.
    fits, tried, most = 0, len(groups), len(groups) * max(n_all)
    while (n_bytes := cost(tried)) <= room:
        fits = tried
        if tried == most:
            return lengths(most)
        tried = min(most, tried * room // n_bytes + len(groups))
    while tried - fits > 1:
        middle = (fits + tried) // 2
        fits, tried = (middle, tried) if cost(middle) <= room else (fits, middle)
    return lengths(fits)


def open_up(buffer: ExemplarsBuffer, n_samples: int = sys.maxsize) -> None:
    """Let a buffer take in so many samples; `keep_within` is to follow."""
    buffer.max_size = n_samples
    for group in _groups_of(buffer):
        group.max_size = n_samples


def keep_within(groups: Sequence[ExemplarsBuffer], room: int | None, extra_bytes: int = 0) -> int:
    """Cut groups of exemplars to what fits, as many of each group.

    In a reservoir the samples with the highest lots stay. One that has been cut must not take in lots below those that
    it has lost, or it would prefer new samples.

    Args:
        groups: buffers without groups of their own.
        room: bytes, enough for one of each group; None for no limit.
        extra_bytes: stored beside each sample and its label.

    Returns:
        How many exemplars there are now.
    """
    held = [group for group in groups if len(group.buffer)]
    for group in held:
        if isinstance(group, ReservoirSamplingBuffer):
            allowed = group._buffer_weights > getattr(group, "highest_lot_lost", -1.0)
            group.resize(None, int(allowed.sum()))
    lengths = lengths_within([Costs.of_samples(group.buffer, extra_bytes) for group in held], room)
    for group, length in zip(held, lengths, strict=True):
        _keep_first(group, length)
    return sum(lengths)


def _keep_first(group: Any, n_samples: int) -> None:
    if n_samples < len(group.buffer):
        if isinstance(group, ReservoirSamplingBuffer):
            group.highest_lot_lost = float(group._buffer_weights[n_samples])
            group.resize(None, n_samples)
        else:
            # Its samples are in their order already: `resize` would sort them anew.
            group.buffer = group.buffer.subset(list(range(n_samples)))
    group.max_size = n_samples


def _groups_of(buffer: Any) -> list[Any]:
    return [*buffer.buffer_groups.values()] if isinstance(buffer, BalancedExemplarsBuffer) else [buffer]


def keep_buffer_within(buffer: ExemplarsBuffer, room: int | None, extra_bytes: int = 0) -> None:
    """Cut a buffer, of whatever groups, as `keep_within` does."""
    buffer.max_size = keep_within(_groups_of(buffer), room, extra_bytes)


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
        self._smallest = sys.maxsize
        self._largest = 0
        self._extra_bytes = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What the buffer was made with."""
        return {"memory": parse_memory_size(self.memory)}

    def require_room_for(self, strategy: Any, experience: Any) -> None:
        """See that the budget holds one exemplar of each class, of the size that those of the experience have.

        Raises:
            BudgetTooSmallError: it does not.
        """
        self._extra_bytes = self.extra_bytes(strategy, experience)
        sizes = bytes_of_some(experience.dataset) + self._extra_bytes
        self._smallest = min(self._smallest, int(sizes.min()))
        self._largest = max(self._largest, int(sizes.max()))
        require_room(self.memory, n_classes_of(experience), self._largest)

    def extra_bytes(self, strategy: Any, experience: Any) -> int:
        """Bytes that are stored beside each sample and its label."""
        return 0

    def open_for(self, strategy: Any, experience: Any) -> None:
        """Make ready for samples of an experience, of which more than fit may be taken in.

        Raises:
            BudgetTooSmallError: the budget is too small for one exemplar of each class.
        """
        self.require_room_for(strategy, experience)
        open_up(self, self._n_to_take_in())

    def close(self) -> None:
        """Let exemplars go until the others are within the budget.

        Raises:
            BudgetTooSmallError: not even one of each class is.
        """
        groups = [group.buffer for group in _groups_of(self) if len(group.buffer)]
        firsts = [Costs.of_samples(group, self._extra_bytes).of_first(1) for group in groups]
        self._largest = max(self._largest, *firsts)
        require_room(self.memory, len(groups), self._largest)
        keep_buffer_within(self, parse_memory_size(self.memory), self._extra_bytes)

    def post_adapt(self, agent: Any, exp: Any) -> None:
        """Take in samples of an experience."""
        self.open_for(agent, exp)
        super().post_adapt(agent, exp)
        self.close()

    def _n_to_take_in(self) -> int:
        return sys.maxsize


class ClassBalancedInBytes(InBytes, ClassBalancedBuffer):
    """As many samples of each class, drawn by reservoir sampling."""


class ReservoirInBytes(InBytes, ReservoirSamplingBuffer):
    """A uniform draw from all samples that have come."""


class ParametricInBytes(InBytes, ParametricBuffer):
    """Groups and selection as `ParametricBuffer` is told."""

    def _n_to_take_in(self) -> int:
        # Avalanche sorts anew what it has taken in, so no more than there could be room for.
        budget = parse_memory_size(self.memory)
        return sys.maxsize if budget is None else budget // self._smallest


class RequireRoom(SupervisedPlugin):
    """See before an experience is trained, and not after it, that the budget is large enough."""

    def __init__(self, buffer: InBytes) -> None:
        super().__init__()
        self._buffer = buffer

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Raise BudgetTooSmallError if it is not."""
        self._buffer.require_room_for(strategy, strategy.experience)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the buffer."""
        return self._buffer.settings

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the buffer is saved by what replays from it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take nothing over."""
