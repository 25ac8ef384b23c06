"""The losses that runs can be trained with."""

from __future__ import annotations

from typing import Any

from torch import nn

from avalanche_snn.training import SeenClassesCrossEntropy
from benchmarks.settings import Training


def make_loss(training: Training) -> Any:
    """Return a fresh loss: one that knows the classes seen so far belongs to one run."""
    return SeenClassesCrossEntropy() if training.loss == "seen" else nn.CrossEntropyLoss()
