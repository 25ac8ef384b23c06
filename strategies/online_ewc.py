"""Online elastic weight consolidation: one importance a weight, faded with each experience (Schwarz et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EWCPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

# As for EWC, and old importances kept in part or whole.
GRID = {"strength": (100.0, 10_000.0, 1_000_000.0), "decay": (0.5, 0.9, 1.0)}


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 10_000.0,
    decay: float = 0.9,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        strength: of the penalty.
        decay: what is left of the importances so far when those of an experience are added, 0..1.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # As in EWC, importances are computed after an experience, from the weights alone.
    penalty = EWCPlugin(strength, mode="online", decay_factor=decay)
    return Naive(model=model, optimizer=optimizer, plugins=[penalty, *plugins], **template)
