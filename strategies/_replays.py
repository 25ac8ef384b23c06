"""Replays without end, that can be taken up where they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader


class Replays:
    """The minibatches of a loader again and again, as Avalanche's `cycle` gives them, from a place that can be saved.

    Args:
        loader: of exemplars.
    """

    memory_bytes = 0  # the exemplars are counted where they are kept

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self._minibatches: Iterator[Any] = iter(())
        # The state of the generator that shuffles, before the present pass.
        self._before: torch.Tensor | None = None
        self._n_given = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        minibatch = next(self._minibatches, None)
        if minibatch is None:
            self._begin()
            minibatch = next(self._minibatches)
        self._n_given += 1
        return minibatch

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the present pass."""
        return {"before": self._before, "n_given": self._n_given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the place of another one, whose loader has the same exemplars."""
        self._minibatches, self._before, self._n_given = iter(()), None, 0
        if state["before"] is not None:
            present = torch.get_rng_state()
            torch.set_rng_state(state["before"])
            self._begin()
            for _ in range(state["n_given"]):
                next(self)
            torch.set_rng_state(present)

    def _begin(self) -> None:
        self._before = torch.get_rng_state()
        self._minibatches = iter(self._loader)
        self._n_given = 0
