"""Replay with an asymmetric loss: new samples compete among the new classes only (ER-ACE, Caccia et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.storage_policy import ClassBalancedBuffer
from avalanche.training.supervised import ER_ACE
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from avalanche_snn.checkpointing import buffer_state, load_buffer_state
from strategies._exemplars import ClassBalancedInBytes, RequireRoom
from strategies._replays import Replays


class _AsymmetricLoss:
    """The paper's loss; Avalanche's lets replays compete with classes that have not come, which trains those down."""

    def __init__(self, buffer: ClassBalancedBuffer) -> None:
        self._buffer = buffer

    def __call__(self, new: Tensor, new_labels: Tensor, replayed: Tensor, replayed_labels: Tensor) -> Tensor:
        """Return the mean of the losses of new samples and of replays; logits `[B, K]`, labels `[B]`."""
        of_new = _cross_entropy_among(set(new_labels.tolist()), new, new_labels)
        of_replayed = _cross_entropy_among(self._buffer.seen_classes, replayed, replayed_labels)
        return (of_new + of_replayed) / 2


class _AsymmetricReplay(ER_ACE):
    """Avalanche's strategy, with as many replays as new samples, and all where there are fewer.

    Avalanche's replays nothing, without a word, while its buffer holds fewer samples than it wants in a minibatch.
    """

    def __init__(self, *, memory: str | int, **options: Any) -> None:
        super().__init__(mem_size=0, **options)
        self.storage_policy = ClassBalancedInBytes(memory)
        self.ace_criterion = _AsymmetricLoss(self.storage_policy)
        self.plugins.insert(0, RequireRoom(self.storage_policy))

    @property
    def batch_size_mem(self) -> int:
        """Replays in a minibatch."""
        n_replays: int = max(1, min(self.train_mb_size, len(self.storage_policy.buffer)))
        return n_replays

    @batch_size_mem.setter
    def batch_size_mem(self, wanted: int) -> None:
        """Take no notice of what the base class sets."""

    def _before_training_exp(self, **kwargs: Any) -> None:
        self.storage_policy.post_adapt(self, self.experience)
        if self.experience.current_experience > 0:
            buffer = self.storage_policy.buffer
            self.replay_loader = Replays(DataLoader(buffer, self.batch_size_mem, shuffle=True, drop_last=True))
        # Avalanche's own does the same with a loader whose place cannot be saved.
        SupervisedTemplate._before_training_exp(self, **kwargs)

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars, and the place in them."""
        place = self.replay_loader.state_dict() if isinstance(self.replay_loader, Replays) else None
        return {"buffer": buffer_state(self.storage_policy), "place": place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another strategy."""
        load_buffer_state(self.storage_policy, state["buffer"])
        # Between experiences there is no loader; within one it has been made.
        if self.replay_loader is not None and state["place"] is not None:
            self.replay_loader.load_state_dict(state["place"])


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> ER_ACE:
    """Compose the strategy.

    The buffer takes in an experience before it is trained, as Avalanche has it. `criterion` is the loss of the first
    experience and of evaluation; afterwards the method has its own.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # The first experience is trained without replays, with the plain loss: whoever trains it.
    return _AsymmetricReplay(model=model, optimizer=optimizer, memory=memory, plugins=[*plugins], **template)


def _cross_entropy_among(classes: Iterable[int], logits: Tensor, labels: Tensor) -> Tensor:
    others = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
    others[list(classes)] = False
    return functional.cross_entropy(logits.masked_fill(others, -torch.inf), labels)
