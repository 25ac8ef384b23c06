"""Predictions among the classes that have come."""

from __future__ import annotations

from typing import Any

from avalanche_snn.models.expandable import UNSEEN
from avalanche_snn.training.seen_classes import SeenClasses


class SeenClassesPrediction(SeenClasses):
    """Lets no sample be told as of a class that has not been in the training data, in evaluation.

    Readouts that grow with their classes, as class-incremental methods usually have them, cannot do that either; one
    that has all classes from the start can, above all where a loss leaves the logits of classes alone until they come
    (`SeenClassesCrossEntropy`). With this plugin both are measured alike: logits of those classes are set to `UNSEEN`
    (-1000) before metrics look at them. Training is left as it is.

    Attributes:
        classes: seen so far, in ascending order.
    """

    def after_eval_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Put classes that have not come out of reach; before any training, all classes are within."""
        if self._seen:
            strategy.mb_output = strategy.mb_output.masked_fill(self._unseen(strategy.mb_output), UNSEEN)
