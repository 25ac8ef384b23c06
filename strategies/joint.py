"""Training on all experiences at once: the upper bound. Call `train` once, with the whole stream."""

from __future__ import annotations

from typing import Any

from avalanche.training.supervised import JointTraining
from torch import nn
from torch.optim import Optimizer

LEARNS_JOINTLY = True  # one call of `train` for the whole stream


def build(model: nn.Module, optimizer: Optimizer, **template: Any) -> JointTraining:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        template: options of Avalanche's template: train_mb_size, train_epochs, plugins, evaluator, device, ...
    """
    # Unlike the other templates, JointTraining has no default loss.
    template.setdefault("criterion", nn.CrossEntropyLoss())
    return JointTraining(model=model, optimizer=optimizer, **template)
