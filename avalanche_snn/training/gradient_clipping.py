"""Gradients that are never longer than so much."""

from __future__ import annotations

import math
from typing import Any

import torch

from avalanche_snn.training.stateless_plugin import StatelessPlugin


class GradientClipping(StatelessPlugin):
    """Shorten the gradient of all weights together, where its norm is larger, before each step of the optimizer.

    Back-propagation through many time steps now and then gives gradients that are larger than all others by orders of
    magnitude (Pascanu et al. 2013).

    Args:
        max_norm: the largest norm, above 0.

    Raises:
        ValueError: no such number.
    """

    def __init__(self, max_norm: float) -> None:
        super().__init__()
        if not (math.isfinite(max_norm) and max_norm > 0):
            raise ValueError(f"max_norm must be a number above 0, but {max_norm!r} came.")
        self.max_norm = float(max_norm)

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"max_norm": self.max_norm}

    def before_update(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Shorten the gradient."""
        torch.nn.utils.clip_grad_norm_(strategy.model.parameters(), self.max_norm)
