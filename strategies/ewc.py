"""Elastic weight consolidation: weights that mattered to earlier experiences are held (Kirkpatrick et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EWCPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

# From hardly felt to nearly frozen: the Fisher information of a trained network is small.
GRID = {"strength": (100.0, 10_000.0, 1_000_000.0)}


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 10_000.0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Keeps a copy of all weights and their importances for each experience. Avalanche squares the gradient of a whole
    minibatch where the Fisher information has that of each sample: a strength belongs to a size of minibatches.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        strength: of the penalty, summed over experiences.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Importances are computed after an experience, from the weights alone: a network that was trained on experience 0
    # by others gets the same ones.
    return Naive(model=model, optimizer=optimizer, plugins=[EWCPlugin(strength), *plugins], **template)
