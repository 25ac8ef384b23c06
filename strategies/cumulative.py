"""Training on everything seen so far, experience by experience: the upper bound of replay, with unlimited memory."""

from __future__ import annotations

from typing import Any

from avalanche.training.supervised import Cumulative
from torch import nn
from torch.optim import Optimizer


def build(model: nn.Module, optimizer: Optimizer, **template: Any) -> Cumulative:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        template: options of Avalanche's template: train_mb_size, train_epochs, plugins, evaluator, device, ...
    """
    # Unlike the other templates, Cumulative has no default loss.
    template.setdefault("criterion", nn.CrossEntropyLoss())
    return Cumulative(model=model, optimizer=optimizer, **template)
