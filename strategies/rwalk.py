"""Riemannian walk: weights are held by importance and by what they did for the loss (Chaudhry et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import RWalkPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

# Importances and scores are gathered in every step; after an experience without one, Avalanche's plugin fails.
TRAINS_FIRST_EXPERIENCE = True
# Importance and score are scaled to 1 at most.
GRID = {"strength": (0.1, 1.0, 10.0)}


class _RiemannianWalk(RWalkPlugin):
    """Avalanche's plugin, which leaves the network in evaluation mode while it trains.

    After a first experience without a score it divides by 0, and all weights become nan in the next one.
    """

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take in the gradient of the loss, before the step."""
        super().before_training_iteration(strategy, *args, **kwargs)
        strategy.model.train()

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Make the penalty of the next experience."""
        if self.exp_scores is None and not any(score.data.any() for score in self.checkpoint_scores.values()):
            raise ValueError(
                f"The first experience has {strategy.clock.train_exp_iterations} steps, too few to score weights every "
                f"{self.delta_t}: take a smaller steps_between_scores, or more epochs."
            )
        super().after_training_exp(strategy, *args, **kwargs)


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 1.0,
    new_share: float = 0.9,
    steps_between_scores: int = 10,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Every step takes a second backward pass, for the gradient without the penalty.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        strength: of the penalty.
        new_share: what the gradient of a step weighs in the moving average of importances, 0..1.
        steps_between_scores: steps that make up one score of a weight; fewer than the first experience has.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    penalty = _RiemannianWalk(strength, new_share, steps_between_scores)
    return Naive(model=model, optimizer=optimizer, plugins=[penalty, *plugins], **template)
