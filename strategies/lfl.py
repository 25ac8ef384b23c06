"""Less-forgetful learning: features stay near those of the network before, the readout is frozen (Jung et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import LFLPlugin
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.optim import Optimizer

from strategies._features import SpikeCounts

# Beside a cross-entropy of weight 1; features are numbers of spikes.
GRID = {"strength": (0.001, 0.01, 0.1)}


class _LessForgetful(LFLPlugin):
    """Avalanche's plugin for networks that have a readout instead of an `nn.Linear`.

    Avalanche's asks for a model with `get_features` and a last layer of that class, and leaves the network in
    evaluation mode while it trains.
    """

    def before_training(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Ask for nothing."""

    def compute_features(self, model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[B, H]` of the network and of the one before."""
        with torch.no_grad():
            before = SpikeCounts(self.prev_model)(x)
        return SpikeCounts(model)(x), before

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the network as it is now, and let its readout be."""
        strategy.model[-1].requires_grad_(False)
        self.prev_model = deepcopy(strategy.model).eval().requires_grad_(False)


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 0.01,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Made for new conditions of the same classes: with its readout frozen, a network can hardly learn a class that comes
    after the first experience.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        strength: of the mean squared distance between features.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # What is kept after experience 0 is a copy of the network, whoever trained it.
    return Naive(model=model, optimizer=optimizer, plugins=[_LessForgetful(strength), *plugins], **template)
