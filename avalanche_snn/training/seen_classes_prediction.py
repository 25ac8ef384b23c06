"""Predictions among the classes that have come."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.core import SupervisedPlugin

from avalanche_snn.models.expandable import UNSEEN
from avalanche_snn.training.beginning import begins_a_run


class SeenClassesPrediction(SupervisedPlugin):
    """Lets no sample be told as of a class that has not been in the training data, in evaluation.

    Readouts that grow with their classes, as class-incremental methods usually have them, cannot do that either; one
    that has all classes from the start can, above all where a loss leaves the logits of classes alone until they come
    (`SeenClassesCrossEntropy`). With this plugin both are measured alike: logits of those classes are set to `UNSEEN`
    (-1000) before metrics look at them. Training is left as it is.

    Attributes:
        classes: seen so far, in ascending order.
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
        """Take over the classes that another plugin has seen."""
        self._seen = set(state["classes"])

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take in the classes of the data that are about to be trained on; those of another run are forgotten."""
        if begins_a_run(strategy):
            self._seen.clear()
        self._seen.update(int(label) for label in strategy.adapted_dataset.targets)

    def after_eval_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Put classes that have not come out of reach; before any training, all classes are within."""
        if not self._seen:
            return
        logits = strategy.mb_output
        unseen = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
        unseen[self.classes] = False
        strategy.mb_output = logits.masked_fill(unseen, UNSEEN)
