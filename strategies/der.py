"""Dark experience replay: exemplars are replayed with the logits that they once had (Buzzega et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import DER
from avalanche.training.supervised.der import ClassBalancedBufferWithLogits
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from avalanche_snn.benchmarks.whole_batches import rasters_of
from avalanche_snn.checkpointing import buffer_state, load_buffer_state
from avalanche_snn.models.evaluating import evaluating
from strategies._exemplars import InBytes, RequireRoom
from strategies._replays import Replays

# 0.1 to 1 are the paper's.
GRID = {"logits_weight": (0.1, 0.3, 1.0)}


class _WithLogitsInBytes(InBytes, ClassBalancedBufferWithLogits):
    """As many samples of each class, each with its logits."""

    def update(self, strategy: Any, **kwargs: Any) -> None:
        """Take in the samples of the experience."""
        self.open_for(strategy, strategy.experience)
        super().update(strategy, **kwargs)
        self.close()

    def extra_bytes(self, strategy: Any, experience: Any) -> int:
        """Bytes of the logits of a sample."""
        network, sample = strategy.model, rasters_of(experience.dataset.eval(), [0]).to(strategy.device)
        with evaluating(network), torch.no_grad():
            return int(network(sample).nbytes)


class DarkExperienceReplay(DER):
    """Avalanche's strategy, with the loss that it is given.

    Avalanche's computes plain cross-entropy, which trains classes down that have not come yet, whatever `criterion` is;
    and it replays nothing, without a word, while its buffer holds fewer samples than a minibatch.
    """

    training_epoch = SupervisedTemplate.training_epoch

    def __init__(self, *, memory: str | int, **options: Any) -> None:
        super().__init__(mem_size=0, **options)
        self.storage_policy = _WithLogitsInBytes(memory)
        self.plugins.insert(0, RequireRoom(self.storage_policy))

    def _before_training_exp(self, **kwargs: Any) -> None:
        buffer = self.storage_policy.buffer
        self.batch_size_mem = max(1, min(self.train_mb_size, len(buffer)))
        self.replay_loader = None
        if len(buffer):
            options = {"shuffle": True, "drop_last": True, "num_workers": kwargs.get("num_workers", 0)}
            self.replay_loader = Replays(DataLoader(buffer, self.batch_size_mem, **options))
        # Avalanche's own does the same with a loader whose place cannot be saved.
        SupervisedTemplate._before_training_exp(self, **kwargs)

    @property
    def settings(self) -> dict[str, Any]:
        """What the strategy was made with."""
        return {"logits weight": self.alpha, "labels weight": self.beta}

    def state_dict(self) -> dict[str, Any]:
        """Return the exemplars with their logits, and the place in them."""
        place = None if self.replay_loader is None else self.replay_loader.state_dict()
        return {"buffer": buffer_state(self.storage_policy), "place": place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another strategy."""
        load_buffer_state(self.storage_policy, state["buffer"])
        # Between experiences there is no loader; within one it has been made.
        if self.replay_loader is not None and state["place"] is not None:
            self.replay_loader.load_state_dict(state["place"])

    def criterion(self) -> Tensor:
        """Return the loss of new samples and, in training, that of replays: their logits', and beta times their own."""
        if not self.is_training or self.replay_loader is None:
            loss: Tensor = super().criterion()
            return loss
        n_replays = len(self.batch_logits)
        replayed, new = self.mb_output[:n_replays], self.mb_output[n_replays:]
        loss = self._criterion(new, self.mb_y[n_replays:])
        loss = loss + self.alpha * functional.mse_loss(replayed, self.batch_logits)
        return loss + self.beta * self._criterion(replayed, self.mb_y[:n_replays]) if self.beta else loss


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    logits_weight: float = 0.3,
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
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Avalanche stores logits after an experience (the paper: on the way), so whoever trained it.
    return DarkExperienceReplay(
        model=model,
        optimizer=optimizer,
        memory=memory,
        alpha=logits_weight,
        beta=0.0,
        plugins=[*plugins],
        **template,
    )
