"""Maximally interfered retrieval: the exemplars that a step would harm most are replayed (Aljundi et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import MIRPlugin
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from avalanche_snn.checkpointing import buffer_state, load_buffer_state
from strategies._exemplars import ClassBalancedInBytes, RequireRoom
from strategies._replays import Replays

# Exemplars to choose a minibatch from.
GRID = {"candidates": (64, 128, 256)}


class _EachSample:
    """A loss that can be asked for the loss of each sample, as Avalanche's plugin asks `nn.CrossEntropyLoss`.

    Args:
        loss: mean over a minibatch, of logits `[B, K]` and labels `[B]`.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.reduction = "mean"

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, or with `reduction="none"` one for each sample."""
        if self.reduction == "none":
            each = (slice(number, number + 1) for number in range(len(labels)))
            return torch.stack([self.loss(logits[one], labels[one]) for one in each])
        mean: Tensor = self.loss(logits, labels)
        return mean


class _MaximallyInterfered(MIRPlugin):
    """Avalanche's plugin for experiences of many minibatches.

    Avalanche's replays no class that was in the last minibatch of the experience before: made for streams of single
    minibatches, it leaves out nearly everything after a long experience, and fails after one of no epochs.
    """

    replay_loader: Replays | None

    def __init__(self, memory: str | int, candidates: int, replayed: int) -> None:
        super().__init__(batch_size_mem=replayed, mem_size=0, subsample=candidates)
        self.storage_policy = ClassBalancedInBytes(memory)
        self.settings = {"candidates": candidates, "replayed": replayed}

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Take in the samples of the experience."""
        self.storage_policy.post_adapt(strategy, strategy.experience)
        self.replay_loader = self._new_loader()

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars, and the place in them."""
        place = None if self.replay_loader is None else self.replay_loader.state_dict()
        return {"buffer": buffer_state(self.storage_policy), "place": place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another plugin."""
        load_buffer_state(self.storage_policy, state["buffer"])
        if state["place"] is not None:
            self.replay_loader = self._new_loader()
            self.replay_loader.load_state_dict(state["place"])

    def _new_loader(self) -> Replays:
        buffer = self.storage_policy.buffer
        return Replays(DataLoader(buffer, self.subsample, shuffle=True, collate_fn=buffer.collate_fn))


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    candidates: int = 128,
    replayed: int = 64,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters; its learning rate is that of the step that is tried.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
        candidates: exemplars that are looked at in each step.
        replayed: those of them that are replayed.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are drawn after an experience: whoever trained it.
    replay = _MaximallyInterfered(memory, candidates, replayed)
    loss = template.pop("criterion", nn.CrossEntropyLoss())
    if not hasattr(loss, "reduction"):
        # A loss that is a plugin too is told of experiences as one.
        plugins = [*plugins, loss] if isinstance(loss, SupervisedPlugin) else plugins
        loss = _EachSample(loss)
    listed = [RequireRoom(replay.storage_policy), replay, *plugins]
    return Naive(model=model, optimizer=optimizer, criterion=loss, plugins=listed, **template)
