"""Replays beside ER_ACE, which tells old classes from new ones by the minibatch that they stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from avalanche.training.supervised import ER_ACE
from torch import Tensor

Minibatch = list[Tensor]


class _BufferWithReplays:
    """The minibatches of a buffer, each with replays behind it."""

    def __init__(self, minibatches: Iterator[Minibatch], add_replays: Callable[[Minibatch], Minibatch]) -> None:
        self._minibatches = minibatches
        self._add_replays = add_replays

    def __iter__(self) -> Iterator[Minibatch]:
        return self

    def __next__(self) -> Minibatch:
        return self._add_replays(next(self._minibatches))


def join_buffer(strategy: Any, add_replays: Callable[[Minibatch], Minibatch]) -> bool:
    """Add replays to the minibatches of ER_ACE's buffer instead of those of new samples.

    ER_ACE (Caccia et al. 2022) lets new samples compete among the classes of their own minibatch only; replays in there
    would make every class one of those.

    Returns:
        Whether that is done; it is not for other strategies, and not before ER_ACE uses its buffer.
    """
    if not isinstance(strategy, ER_ACE) or strategy.replay_loader is None:
        return False
    if not isinstance(strategy.replay_loader, _BufferWithReplays):
        strategy.replay_loader = _BufferWithReplays(strategy.replay_loader, add_replays)
    return True
