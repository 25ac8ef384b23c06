"""Averaged gradient episodic memory: no step may raise the mean loss on exemplars (Chaudhry et al. 2019)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

from avalanche.benchmarks.utils.data_loader import GroupBalancedInfiniteDataLoader
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import AGEMPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from avalanche_snn.evaluation.memory import bytes_of_samples
from avalanche_snn.training import parse_memory_size
from strategies._exemplars import Costs, bytes_of_some, lengths_within, n_classes_of, require_a_share, require_room

# One and two minibatches of the benchmarks.
GRID = {"sample_size": (64, 128)}


class _AveragedGradientEpisodicMemory(AGEMPlugin):
    """Avalanche's plugin with a budget in bytes, of which each experience gets its share."""

    def __init__(self, memory: str | int, sample_size: int) -> None:
        super().__init__(patterns_per_experience=0, sample_size=sample_size)
        self._memory = memory
        self._n_given = 0
        self._n_least = 0
        self._n_experiences = 0
        self.settings = {"memory": parse_memory_size(memory), "sample_size": sample_size}

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See that there is room for exemplars of this experience."""
        experience = strategy.experience
        self._n_experiences = experience.benchmark.n_experiences
        if self.sample_size < self._n_experiences:
            raise ValueError(
                f"sample_size must be {self._n_experiences} at least, one an experience, not {self.sample_size}"
            )
        self._n_least = max(n_classes_of(experience), self._n_experiences)
        require_a_share(self._memory, len(self.buffers), self._n_experiences)
        self._require_room(int(bytes_of_some(experience.dataset).max()))

    def sample_from_memory(self) -> Any:
        """Return the next exemplars, and count how often that is done."""
        self._n_given += 1
        return super().sample_from_memory()

    def update_memory(self, dataset: Any, num_workers: int = 0, **kwargs: Any) -> None:
        """Draw exemplars of an experience until its share is full.

        Raises:
            BudgetTooSmallError: the first one is larger than that.
        """
        budget = parse_memory_size(self._memory)
        if budget is not None:
            # What earlier experiences left of their shares is there for later ones.
            held = sum(int(bytes_of_samples(buffer).sum()) for buffer in self.buffers)
            room = budget * (len(self.buffers) + 1) // self._n_experiences - held
            order = list(range(len(dataset)))
            random.shuffle(order)
            costs = Costs.of_samples(dataset.subset(order))
            if costs.of_first(1) > room:
                self._require_room(costs.of_first(1))
            (n_samples,) = lengths_within([costs], room)
            dataset = dataset.subset(order[:n_samples]) if n_samples < len(dataset) else dataset
        self.patterns_per_experience = len(dataset)
        super().update_memory(dataset, num_workers=num_workers, **kwargs)
        self._n_given = 0

    def _require_room(self, sample_bytes: int) -> None:
        require_room(self._memory, self._n_least, sample_bytes, "one of each class and experience")

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars, and how many times some were given since the last came.

        Raises:
            TypeError: worker processes read them, whose random generators cannot be saved.
        """
        if self.buffer_dataloader is not None and self.buffer_dataloader.loader_kwargs.get("num_workers"):
            raise TypeError("AGEM cannot be saved while worker processes read its exemplars: train with num_workers=0.")
        return {"buffers": self.buffers, "n_given": self._n_given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another plugin."""
        self.buffers = list(state["buffers"])
        if self.buffers:
            self.buffer_dataloader = GroupBalancedInfiniteDataLoader(
                self.buffers, batch_size=self.sample_size // len(self.buffers)
            )
            self.buffer_dliter = iter(self.buffer_dataloader)
        self._n_given = state["n_given"]
        if self._n_given:
            # Avalanche gives exemplars in turn, without drawing: those that were given need not be read again.
            loader = self.buffer_dataloader._get_loader()
            turns = islice(loader.batch_sampler, self._n_given, None)
            self.buffer_dliter = iter(DataLoader(loader.dataset, batch_sampler=turns, collate_fn=loader.collate_fn))


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    sample_size: int = 64,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Avalanche draws exemplars with Python's `random`: seed that too.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB", shared equally by all experiences. Rasters count in
            the code "rice", with its length and the label.
        sample_size: exemplars in the gradient that steps are compared with.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are drawn after an experience: whoever trained it.
    replay = _AveragedGradientEpisodicMemory(memory, sample_size)
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
