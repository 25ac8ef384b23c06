"""Fine-tuning on each experience in turn: what forgetting looks like when nothing is done about it."""

from __future__ import annotations

from typing import Any

from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer


def build(model: nn.Module, optimizer: Optimizer, **template: Any) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        template: options of Avalanche's template: train_mb_size, train_epochs, plugins, evaluator, device, ...
    """
    return Naive(model=model, optimizer=optimizer, **template)
