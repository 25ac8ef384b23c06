"""Gradient episodic memory: no step may raise the loss on an earlier experience (Lopez-Paz et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import GEMPlugin
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from avalanche_snn.training import parse_memory_size
from strategies._exemplars import bytes_of_some, n_classes_of, require_a_share, require_room
from strategies._packed_rasters import PackedRasters

# 0.5 is the paper's.
GRID = {"margin": (0.0, 0.5, 1.0)}
_LABEL_BYTES = 16  # class and task label, as Avalanche stores them


class _GradientEpisodicMemory(GEMPlugin):
    """Avalanche's plugin with a budget in bytes, of which each experience gets its share.

    Avalanche stores rasters as the network takes them, a byte or more a cell; here they are packed between experiences.
    While an experience is trained they are unpacked: every step takes them all.
    """

    def __init__(self, memory: str | int, margin: float) -> None:
        super().__init__(patterns_per_experience=0, memory_strength=margin)
        self._memory = memory
        self.packed: dict[int, PackedRasters] = {}
        self._n_least = 0
        self._n_experiences = 0
        self.settings = {"memory": parse_memory_size(memory), "margin": margin}

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See that there is room for exemplars of this experience, and unpack those that there are."""
        experience = strategy.experience
        self._n_experiences = experience.benchmark.n_experiences
        self._n_least = max(n_classes_of(experience), self._n_experiences)
        require_a_share(self._memory, strategy.clock.train_exp_counter, self._n_experiences)
        self._require_room(int(bytes_of_some(experience.dataset).max()) + PackedRasters.MOST_EXTRA_BYTES)
        self.memory_x = {number: rasters.unpacked() for number, rasters in self.packed.items()}

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Draw exemplars, and let go of what is unpacked."""
        super().after_training_exp(strategy, **kwargs)
        self.memory_x = {}

    @torch.no_grad()
    def update_memory(self, dataset: Any, t: int, batch_size: int) -> None:
        """Draw exemplars until the share of the experience is full.

        Raises:
            BudgetTooSmallError: the first one is larger than that.
        """
        budget = parse_memory_size(self._memory)
        # What earlier experiences left of their shares is there for later ones.
        room = None if budget is None else budget * (t + 1) // self._n_experiences - self._n_bytes
        loader = DataLoader(dataset, batch_size, shuffle=True, collate_fn=getattr(dataset, "collate_fn", None))
        drawn: list[list[Tensor]] = []
        for minibatch in loader:
            sizes = PackedRasters.of(minibatch[0]).bytes_each + _LABEL_BYTES
            n_fitting = len(sizes) if room is None else int(np.searchsorted(sizes.cumsum(), room, side="right"))
            if not drawn and not n_fitting:
                self._require_room(int(sizes[0]) - _LABEL_BYTES)
            drawn.append([minibatch[column][:n_fitting] for column in (0, 1, -1)])
            if n_fitting < len(sizes):
                break
            room = None if room is None else room - int(sizes.sum())
        rasters, self.memory_y[t], self.memory_tid[t] = (torch.cat(column) for column in zip(*drawn, strict=True))
        self.packed[t] = PackedRasters.of(rasters)

    @property
    def _n_bytes(self) -> int:
        return sum(int(rasters.bytes_each.sum()) + len(rasters) * _LABEL_BYTES for rasters in self.packed.values())

    def _require_room(self, raster_bytes: int) -> None:
        what_for = "one of each class and experience"
        require_room(self._memory, self._n_least, raster_bytes + _LABEL_BYTES, what_for)

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars, packed."""
        rasters = [(number, packed.state()) for number, packed in self.packed.items()]
        return {"rasters": rasters, "labels": self.memory_y, "task labels": self.memory_tid}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another plugin."""
        self.packed = {number: PackedRasters.from_state(packed) for number, packed in state["rasters"]}
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
        memory: budget of the exemplars in bytes, like "1600 kB", shared equally by all experiences. Rasters count in
            the code "rice", with its length, and labels of class and task.
        margin: how far steps are turned towards exemplars, beyond not harming them ("memory strength" in the paper).
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are drawn after an experience: whoever trained it.
    replay = _GradientEpisodicMemory(memory, margin)
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
