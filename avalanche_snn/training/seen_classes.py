"""Which classes have come, for plugins and losses that ask."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_snn.training.beginning import begins_a_run


class SeenClasses(SupervisedPlugin):
    """Keeps the classes that have been in the training data: those of `strategy.adapted_dataset`.

    Joint training and replay through the data set are so covered. The classes of another run are forgotten.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[int] = set()

    @property
    def classes(self) -> list[int]:
        """The classes seen so far, in ascending order."""
        return sorted(self._seen)

    def state_dict(self) -> dict[str, Any]:
        """Return the classes seen so far."""
        return {"classes": self.classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the classes that another one has seen."""
        self._seen = set(state["classes"])

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take in the classes of the data that are about to be trained on."""
        if begins_a_run(strategy):
            self._seen.clear()
        self._seen.update(int(label) for label in strategy.adapted_dataset.targets)

    def _unseen(self, logits: Tensor) -> Tensor:
        """Return which of the classes of logits `[B, K]` have not come, bool `[K]`."""
        unseen = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
        unseen[self.classes] = False
        return unseen
