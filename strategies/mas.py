"""Memory aware synapses: weights are held by how much the output depends on them (Aljundi et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import MASPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

# From hardly felt to nearly frozen.
GRID = {"strength": (0.1, 1_000.0, 100_000.0)}


class _MemoryAwareSynapses(MASPlugin):
    """Avalanche's plugin, which takes a loss of exactly 0 (a class that is known for sure) for a missing one."""

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Add the penalty."""
        if not strategy.loss:
            strategy.loss = strategy.loss + torch.finfo(strategy.loss.dtype).tiny
        super().before_backward(strategy, *args, **kwargs)


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 0.1,
    past_share: float = 0.5,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        strength: of the penalty.
        past_share: what earlier importances weigh beside those of the last experience, 0..1.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Importances are computed after an experience, from the weights alone: a network that was trained on experience 0
    # by others gets the same ones.
    penalty = _MemoryAwareSynapses(strength, past_share)
    return Naive(model=model, optimizer=optimizer, plugins=[penalty, *plugins], **template)
