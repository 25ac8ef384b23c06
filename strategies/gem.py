"""Gradient episodic memory: no step may raise the loss on an earlier experience (Lopez-Paz et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import GEMPlugin
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.optim import Optimizer

from avalanche_snn.spikes import unpack
from avalanche_snn.training import parse_memory_size
from strategies._exemplars import bytes_of_packed, n_classes_of, packed, samples_within

# 0.5 is the paper's.
GRID = {"margin": (0.0, 0.5, 1.0)}
_LABEL_BYTES = 16  # class and task label, as Avalanche stores them


class _PackedRasters(dict[int, Any]):
    """Rasters by experience, stored in as few bits as hold them and given out as they came."""

    def __setitem__(self, experience: int, rasters: Tensor) -> None:
        super().__setitem__(experience, (packed(rasters), rasters.shape[-1], rasters.dtype))

    def __getitem__(self, experience: int) -> Tensor:
        return unpack(*super().__getitem__(experience))


class _GradientEpisodicMemory(GEMPlugin):
    """Avalanche's plugin with a budget in bytes, of which each experience gets its share.

    Avalanche stores rasters as the network takes them, a byte or more a cell; here they are packed.
    """

    def __init__(self, memory: str | int, margin: float) -> None:
        super().__init__(patterns_per_experience=0, memory_strength=margin)
        self._memory = memory
        self.memory_x = _PackedRasters()
        self.settings = {"memory": parse_memory_size(memory), "margin": margin}

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Work out how many exemplars of this experience there can be."""
        experience = strategy.experience
        n_experiences = experience.benchmark.n_experiences
        each = bytes_of_packed(experience.dataset) + _LABEL_BYTES
        n_least = max(n_classes_of(experience), n_experiences)
        n_samples = samples_within(self._memory, each, n_least, "one of each class and experience")
        self.patterns_per_experience = n_samples // n_experiences

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars, packed."""
        rasters = [
            (experience, packed_rasters, n_channels, str(dtype).removeprefix("torch."))
            for experience, (packed_rasters, n_channels, dtype) in self.memory_x.items()
        ]
        return {"rasters": rasters, "labels": self.memory_y, "task labels": self.memory_tid}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another plugin."""
        self.memory_x = _PackedRasters()
        for experience, packed_rasters, n_channels, dtype in state["rasters"]:
            self.memory_x[experience] = unpack(packed_rasters, n_channels, getattr(torch, dtype))
        self.memory_y, self.memory_tid = state["labels"], state["task labels"]


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    margin: float = 0.5,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Every step takes one backward pass for each earlier experience.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB", shared equally by all experiences.
        margin: how far steps are turned towards exemplars, beyond not harming them ("memory strength" in the paper).
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are drawn after an experience: whoever trained it.
    replay = _GradientEpisodicMemory(memory, margin)
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
