"""Losses that fit networks whose classes arrive one after the other."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor
from torch.nn import functional


class SeenClassesCrossEntropy(SupervisedPlugin):
    """Cross-entropy over the classes that have been in the training data so far.

    Plain cross-entropy pushes the logits of classes that have not come yet down, sample after sample. A readout that
    takes the maximum of a membrane over time (`LeakyReadout`) cannot come back from there: once a class's membrane
    stays below rest for every sample, its logit is that of the membrane at rest, which no weight can change, and the
    class is never learned when it comes. Here the weights of a class stay as they were initialised until it comes.

    Give it to a strategy as `criterion=`; Avalanche's templates take it in as a plugin too. The classes are those of
    `strategy.adapted_dataset`, so that joint training and replay through the data set are covered.

    Shapes: logits `[B, K]`, labels int64 `[B]` -> a scalar.
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
        """Take over the classes that another loss has seen."""
        self._seen = set(state["classes"])

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take in the classes of the data that are about to be trained on."""
        self._seen.update(int(label) for label in strategy.adapted_dataset.targets)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss; before any experience was trained, all classes count."""
        if not self._seen:
            return functional.cross_entropy(logits, labels)
        unseen = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
        unseen[self.classes] = False
        # Classes that are only evaluated have no place in the mask, or their loss would be infinite.
        unseen[labels] = False
        return functional.cross_entropy(logits.masked_fill(unseen, -torch.inf), labels)
