"""Dark experience replay with labels: exemplars are replayed with logits and class (Buzzega et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from torch import nn
from torch.optim import Optimizer

from strategies.der import DarkExperienceReplay

# 0.1 to 1 are the paper's.
GRID = {"logits_weight": (0.1, 0.3, 1.0)}


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    logits_weight: float = 0.3,
    labels_weight: float = 0.5,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> DarkExperienceReplay:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of exemplars and their logits in bytes, like "1600 kB": rasters in the code "rice", with its
            length and the label, and four bytes a logit.
        logits_weight: of the distance to the stored logits (alpha in the paper).
        labels_weight: of the loss on exemplars (beta in the paper).
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # As in DER, logits are stored after an experience, so whoever trained it.
    return DarkExperienceReplay(
        model=model,
        optimizer=optimizer,
        memory=memory,
        alpha=logits_weight,
        beta=labels_weight,
        plugins=[*plugins],
        **template,
    )
