"""Bias correction: replay and distillation, then two numbers that set new classes against old ones (Wu et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.benchmarks.utils.utils import concat_datasets
from avalanche.core import SupervisedPlugin
from avalanche.models.bic_model import BiasLayer
from avalanche.training.plugins import BiCPlugin
from avalanche.training.storage_policy import ClassBalancedBuffer, ReservoirSamplingBuffer
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from avalanche_snn.benchmarks.whole_batches import rasters_of
from avalanche_snn.checkpointing import buffer_state, load_buffer_state
from avalanche_snn.evaluation.memory import bytes_of_samples
from avalanche_snn.training import parse_memory_size
from strategies._exemplars import (
    Costs,
    bytes_of_some,
    keep_buffer_within,
    keep_within,
    lengths_within,
    n_classes_of,
    open_up,
    require_room,
)

# The exemplars that the correction is fitted on must not have been trained on, in the first experience either.
TRAINS_FIRST_EXPERIENCE = True
CANNOT_RUN = {
    "sample_incremental": "the loss is nan: Avalanche's BiC distils the classes that an experience does not have, and "
    "one of new speakers has them all. Nor are there new classes whose lead over old ones could be corrected."
}
# The paper holds out a tenth of the exemplars; with few of them that is hardly one a class.
GRID = {"validation_share": (0.1, 0.3)}


class _BiasCorrection(BiCPlugin):
    """Avalanche's plugin with a budget in bytes, and what is wrong in it mended.

    Avalanche asks `MultiStepLR` for the option `verbose`, which torch no longer has; takes the teacher's softmax over
    the minibatch instead of over classes; and may hold out exemplars of some classes only.
    """

    def __init__(self, memory: str | int, validation_share: float, temperature: float, epochs: int) -> None:
        super().__init__(
            mem_size=0, storage_policy=ClassBalancedBuffer(0), val_percentage=validation_share, stage_2_epochs=epochs
        )
        self.T = temperature
        self._memory = memory
        self._largest = 0
        self._n_held_out: dict[int, int] = {}
        self.settings = {
            "memory": parse_memory_size(memory),
            "validation_share": validation_share,
            "temperature": temperature,
            "epochs": epochs,
        }

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Share the budget among exemplars to train with and exemplars to correct with, and hold the latter out."""
        dataset, n_classes = strategy.experience.dataset, n_classes_of(strategy.experience)
        new: dict[int, list[int]] = {}
        for position, label in enumerate(dataset.targets):
            new.setdefault(int(label), []).append(position)
        held_out = {label: Costs.of_samples(buffer.buffer) for label, buffer in self.val_buffer.items()}
        for label, positions in new.items():
            if label not in held_out:
                # However large the budget is, most samples are there to be trained on.
                most = max(1, int(self.val_percentage * len(positions)))
                held_out[label] = Costs.of_samples(dataset.subset(positions[:most]))
        firsts = [costs.of_first(1) for costs in held_out.values()]
        self._largest = max(self._largest, int(bytes_of_some(dataset).max()), *firsts)
        what_for = "two of each class, one to train and one to correct with"
        require_room(self._memory, 2 * n_classes, self._largest, what_for)
        budget = parse_memory_size(self._memory)
        room = None if budget is None else max(n_classes * self._largest, int(self.val_percentage * budget))
        self._n_held_out = dict(zip(held_out, lengths_within([*held_out.values()], room), strict=True))
        super().before_train_dataset_adaptation(strategy, *args, **kwargs)
        # Where classes come again, other samples are held out than those that were looked at.
        keep_within([*self.val_buffer.values()], room)

    def get_group_lengths(self, num_groups: int) -> list[int]:
        """Return how many held-out exemplars each class has."""
        return [self._n_held_out[label] for label in self.seen_classes]

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Fit the correction, and keep as many exemplars to train with as there is room for beside those held out."""
        open_up(self.storage_policy)
        super().after_training_exp(strategy, **kwargs)
        budget = parse_memory_size(self._memory)
        if budget is not None:
            budget -= sum(int(bytes_of_samples(buffer.buffer).sum()) for buffer in self.val_buffer.values())
        keep_buffer_within(self.storage_policy, budget)

    def cross_entropy(self, new_outputs: Tensor, old_outputs: Tensor) -> Tensor:
        """Return the distillation loss; logits `[B, old classes]`."""
        return functional.cross_entropy(new_outputs / self.T, functional.softmax(old_outputs / self.T, 1))

    def bias_correction_step(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Fit scale and shift of the new classes' logits on the exemplars held out, all of them in each step."""
        held_out = concat_datasets([buffer.buffer for buffer in self.val_buffer.values()]).eval()
        strategy.model.eval()
        n, size = len(held_out), strategy.eval_mb_size
        with torch.no_grad():
            parts = (rasters_of(held_out, range(start, min(start + size, n))) for start in range(0, n, size))
            logits = torch.cat([strategy.model(part.to(strategy.device)) for part in parts])
        labels = torch.tensor(list(held_out.targets), device=strategy.device)
        unseen = torch.ones(logits.shape[1], dtype=torch.bool, device=strategy.device)
        unseen[sorted(self.seen_classes)] = False
        layer = BiasLayer(strategy.adapted_dataset.targets.uniques).to(strategy.device)
        optimizer = SGD(layer.parameters(), lr=self.lr, momentum=0.9)
        schedule = MultiStepLR(optimizer, [self.stage_2_epochs * part // 4 for part in (1, 2, 3)], gamma=0.1)
        for _ in range(self.stage_2_epochs):
            optimizer.zero_grad()
            corrected = layer(logits).masked_fill(unseen, -torch.inf)
            # The paper's code keeps the shift small in the same way.
            loss = functional.cross_entropy(corrected, labels) + 0.05 * layer.beta.square().sum()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.bias_layer = layer.eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Return both kinds of exemplars, the old network and the correction."""
        layer = self.bias_layer
        return {
            "buffer": buffer_state(self.storage_policy),
            "held out": [(label, buffer_state(buffer)) for label, buffer in self.val_buffer.items()],
            "experience of class": [*self.class_to_tasks.items()],
            "old network": self.model_old,
            "correction": None if layer is None else [layer.clss, layer.alpha, layer.beta],
            "is first": self.is_first_experience,
            "largest": self._largest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars and networks of another plugin."""
        load_buffer_state(self.storage_policy, state["buffer"])
        self.val_buffer = {label: ReservoirSamplingBuffer(0) for label, _ in state["held out"]}
        for label, held_out in state["held out"]:
            load_buffer_state(self.val_buffer[label], held_out)
        self.class_to_tasks = dict(state["experience of class"])
        # One by one, as they came: room is shared in the order of the set.
        self.seen_classes.clear()
        self.seen_classes.update(self.class_to_tasks.keys())
        self.model_old, self.is_first_experience = state["old network"], state["is first"]
        self._largest = state["largest"]
        if state["correction"] is not None:
            classes, alpha, beta = state["correction"]
            self.bias_layer = BiasLayer(classes.tolist()).to(classes.device).eval().requires_grad_(False)
            self.bias_layer.alpha.copy_(alpha)
            self.bias_layer.beta.copy_(beta)


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    validation_share: float = 0.1,
    temperature: float = 2.0,
    correction_epochs: int = 200,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
            The old network comes on top.
        validation_share: of the exemplars, held out for the correction; one of each class at least.
        temperature: by which logits are divided in distillation.
        correction_epochs: steps of fitting the correction.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    correction = _BiasCorrection(memory, validation_share, temperature, correction_epochs)
    return Naive(model=model, optimizer=optimizer, plugins=[correction, *plugins], **template)
