"""Learning without forgetting: the network before an experience teaches the one after it (Li & Hoiem 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import LwFPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

# Beside a cross-entropy of weight 1; temperature 2 is the paper's.
GRID = {"strength": (1.0, 3.0, 10.0), "temperature": (1.0, 2.0, 4.0)}


class _StillTeacher(LwFPlugin):
    """Avalanche's plugin with its teacher in evaluation mode.

    Avalanche copies the network as it trains: with dropout, and with batch statistics that go on changing.
    """

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Set the mode of the network before."""
        if self.lwf.prev_model is not None:
            self.lwf.prev_model.eval()


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 1.0,
    temperature: float = 2.0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        strength: of the distillation.
        temperature: by which logits are divided in it.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # The teacher is a copy of the network as it is after an experience, whoever trained it.
    distillation = _StillTeacher(strength, temperature)
    return Naive(model=model, optimizer=optimizer, plugins=[distillation, *plugins], **template)
