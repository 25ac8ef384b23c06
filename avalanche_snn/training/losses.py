"""Losses that fit networks whose classes arrive one after the other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avalanche_snn.training.seen_classes import SeenClasses


class SeenClassesCrossEntropy(SeenClasses):
    """Cross-entropy over the classes that have been in the training data so far.

    Plain cross-entropy pushes the logits of classes that have not come yet down, sample after sample. A readout that
    takes the maximum of a membrane over time (`LeakyReadout`) cannot come back from there: once a class's membrane
    stays below rest for every sample, its logit is that of the membrane at rest, which no weight can change, and the
    class is never learned when it comes. Here the weights of a class stay as they were initialised until it comes.

    Give it to a strategy as `criterion=`; Avalanche's templates take it in as a plugin too. The classes are those of
    `strategy.adapted_dataset`, so that joint training and replay through the data set are covered.

    Shapes: logits `[B, K]`, labels int64 `[B]` -> a scalar.

    Args:
        label_smoothing: share of each label that is spread evenly over the classes seen so far, 0 to 1
            (Szegedy et al. 2016).

    Raises:
        ValueError: another share.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be a share from 0 to 1, but {label_smoothing!r} came.")
        self.label_smoothing = float(label_smoothing)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss; before any experience was trained, all classes count."""
        if not self._seen:
            return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        unseen = self._unseen(logits)
        # Classes that are only evaluated have no place in the mask, or their loss would be infinite.
        unseen[labels] = False
        seen = logits.masked_fill(unseen, -torch.inf)
        if not self.label_smoothing:
            return functional.cross_entropy(seen, labels)
        # Torch's own smoothing would spread labels over all classes, and infinity times nothing is no number.
        log_shares = functional.log_softmax(seen, dim=1)
        of_seen = log_shares.masked_fill(unseen, 0.0).sum(dim=1) / (~unseen).sum()
        exact = functional.nll_loss(log_shares, labels)
        return (1 - self.label_smoothing) * exact - self.label_smoothing * of_seen.mean()
