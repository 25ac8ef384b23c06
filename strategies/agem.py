"""Averaged gradient episodic memory: no step may raise the mean loss on exemplars (Chaudhry et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import AGEMPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.evaluation.memory import bytes_of_a_sample
from strategies._exemplars import n_classes_of, samples_within

# One and two minibatches of the benchmarks.
GRID = {"sample_size": (64, 128)}


class _AveragedGradientEpisodicMemory(AGEMPlugin):
    """Avalanche's plugin with a budget in bytes, of which each experience gets its share."""

    def __init__(self, memory: str | int, sample_size: int) -> None:
        super().__init__(patterns_per_experience=0, sample_size=sample_size)
        self._memory = memory

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Work out how many exemplars of this experience there can be."""
        experience = strategy.experience
        n_experiences = experience.benchmark.n_experiences
        if self.sample_size < n_experiences:
            raise ValueError(f"sample_size must be {n_experiences} at least, one an experience, not {self.sample_size}")
        each = bytes_of_a_sample(experience.dataset)
        n_least = max(n_classes_of(experience), n_experiences)
        n_samples = samples_within(self._memory, each, n_least, "one of each class and experience")
        self.patterns_per_experience = n_samples // n_experiences


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
        memory: budget of the exemplars in bytes, like "1600 kB", shared equally by all experiences.
        sample_size: exemplars in the gradient that steps are compared with.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are drawn after an experience: whoever trained it.
    replay = _AveragedGradientEpisodicMemory(memory, sample_size)
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
