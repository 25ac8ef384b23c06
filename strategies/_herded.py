"""Exemplars in herding order within a budget in bytes, for networks that grow, and what these are made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from avalanche_snn.models import CuttableSequential, ExpandableClassifier, SpikeRates
from avalanche_snn.training import HerdedExemplars, parse_memory_size
from avalanche_snn.training.herded_exemplars import first_of
from strategies._exemplars import Costs, bytes_of_some, lengths_within, n_classes_of, require_room


class HerdedInBytes(HerdedExemplars):
    """As many exemplars of each class as fit.

    Args:
        memory: like "1600 kB": rasters in the code "rice", with its length and label.
    """

    def __init__(self, memory: str | int) -> None:
        super().__init__(n_exemplars=sys.maxsize)
        self._memory = memory
        self._budget = parse_memory_size(memory)

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"memory": self._budget}

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See that the budget holds one exemplar of each class.

        Raises:
            BudgetTooSmallError: it does not.
        """
        dataset = strategy.experience.dataset
        require_room(self._memory, n_classes_of(strategy.experience), int(bytes_of_some(dataset).max()))

    def quotas(self, labels: Sequence[int]) -> dict[int, int]:
        """Return how many of each class are put in order: no more than could fit."""
        return dict.fromkeys(labels, sys.maxsize if self._budget is None else self._budget)

    def cut(self) -> None:
        """Let exemplars go until the others are within the budget, as many of each class.

        Raises:
            BudgetTooSmallError: not even one of each class is.
        """
        costs = [Costs.of_samples(group) for group in self.groups.values()]
        require_room(self._memory, len(costs), max(of_group.of_first(1) for of_group in costs))
        for label, length in zip(self.groups, lengths_within(costs, self._budget), strict=True):
            self.groups[label] = first_of(self.groups[label], length)


def growing(model: nn.Module, *, expand: bool = True) -> ExpandableClassifier:
    """Return a network that grows by copies of all layers of a network but its readout.

    Raises:
        TypeError: a model that is no sequence of layers with a readout at its end, as `RecurrentSNN` is.
    """
    if not isinstance(model, CuttableSequential):
        raise TypeError(
            f"A network of layers with a readout, like RecurrentSNN, was wanted, {type(model).__name__} came."
        )
    readout: Any = list(model.children())[-1]
    n_classes = int(readout.n_classes)
    like = next(model.parameters())
    grown = ExpandableClassifier(lambda: SpikeRates(model), n_classes, expand=expand)
    placed: ExpandableClassifier = grown.to(device=like.device, dtype=like.dtype)
    return placed
