"""Synaptic intelligence: weights are held by what they did for the loss on their way (Zenke et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import SynapticIntelligencePlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

# Importances are gathered along the path that the weights take, and a network trained by others has none.
TRAINS_FIRST_EXPERIENCE = True
# Avalanche cuts importances off at 0.001.
GRID = {"strength": (1.0, 100.0, 10_000.0)}


class _SynapticIntelligence(SynapticIntelligencePlugin):
    """Avalanche's plugin, with copies of the weights.

    On the CPU its "old" weights share their memory with the network's (`param.detach().cpu().flatten()` copies nothing
    there), so that no weight ever seems to have moved and the penalty stays 0.
    """

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Start an experience."""
        super().before_training_exp(strategy, *args, **kwargs)
        _own_memory(self.ewc_data[0])

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Start a step."""
        super().before_training_iteration(strategy, *args, **kwargs)
        _own_memory(self.syn_data["old_theta"])


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    strength: float = 100.0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        strength: of the penalty.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    return Naive(model=model, optimizer=optimizer, plugins=[_SynapticIntelligence(strength), *plugins], **template)


def _own_memory(weights: Mapping[str, Any]) -> None:
    for stored in weights.values():
        stored.data = stored.data.clone()
