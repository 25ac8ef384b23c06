"""iCaRL: features learned with replay and distillation, classes by the nearest mean of exemplars (Rebuffi 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import ICaRL
from avalanche.training.supervised.icarl import _ICaRLPlugin
from torch import Tensor, nn
from torch.optim import Optimizer

from avalanche_snn.spikes import unpack
from avalanche_snn.training import parse_memory_size
from strategies._exemplars import bytes_of_packed, n_classes_of, packed, samples_within
from strategies._features import SpikeCounts

# Its loss is a sigmoid for each class: a network that was trained with another is not its beginning.
TRAINS_FIRST_EXPERIENCE = True
CANNOT_RUN = {
    "sample_incremental": "'NIScenario' object has no attribute 'n_classes_per_exp': Avalanche's iCaRL gathers "
    "exemplars of the classes that an experience adds, and experiences of new speakers add none."
}
_LABEL_BYTES = 5  # the label, and the place in the order of herding


class _Features(SpikeCounts):
    """Spike counts that are never all 0: Avalanche divides them by their norm."""

    def forward(self, rasters: Tensor) -> Tensor:
        """Count spikes, and a little more."""
        return super().forward(rasters) + 1e-6


class _Budget(SupervisedPlugin):
    """Keeps Avalanche's exemplars within a budget in bytes, packed between experiences.

    Avalanche stores rasters as the network takes them, a byte or more a cell, and of each class one more than its share
    where the number of exemplars cannot be divided. Classes that have not come have a mean of 0 there, to which every
    sample is nearer than to a class that it hardly resembles; they are put out of reach.
    """

    def __init__(self, memory: str | int) -> None:
        super().__init__()
        self._memory = memory
        self._bytes_each = 0
        self._n_channels = 0
        self._dtype = torch.float32

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Work out how many exemplars there can be, and unpack those that there are."""
        icarl, experience = _plugin_of(strategy), strategy.experience
        self._bytes_each = max(self._bytes_each, bytes_of_packed(experience.dataset) + _LABEL_BYTES)
        n_samples = samples_within(self._memory, self._bytes_each, n_classes_of(experience))
        n_classes = len({*icarl.observed_classes, *(int(label) for label in experience.dataset.targets)})
        icarl.memory_size = n_samples // n_classes * n_classes
        icarl.x_memory = [unpack(rasters, self._n_channels, self._dtype) for rasters in icarl.x_memory]

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Pack the exemplars."""
        icarl = _plugin_of(strategy)
        self._n_channels, self._dtype = icarl.x_memory[0].shape[-1], icarl.x_memory[0].dtype
        icarl.x_memory = [packed(rasters) for rasters in icarl.x_memory]

    def after_eval_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Let no sample be of a class that has not come."""
        unseen = torch.ones(strategy.mb_output.shape[1], dtype=torch.bool, device=strategy.mb_output.device)
        unseen[_plugin_of(strategy).observed_classes] = False
        strategy.mb_output = strategy.mb_output.masked_fill(unseen, -torch.inf)

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"memory": parse_memory_size(self._memory)}

    def state_dict(self) -> dict[str, Any]:
        """Return what it takes to count and to unpack."""
        dtype = str(self._dtype).removeprefix("torch.")
        return {"bytes each": self._bytes_each, "n_channels": self._n_channels, "dtype": dtype}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another plugin."""
        self._bytes_each, self._n_channels = state["bytes each"], state["n_channels"]
        self._dtype = getattr(torch, state["dtype"])


def build(
    model: Any,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> ICaRL:
    """Compose the strategy.

    The readout is replaced: by a linear layer on spike counts in training, by the nearest mean in evaluation. The loss
    is iCaRL's own, whatever `criterion` is.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB"; the old network and the means come on top.
        plugins: further plugins.
        template: options of Avalanche's strategy: train_mb_size, train_epochs, eval_mb_size, evaluator, device, ...
    """
    template.pop("criterion", None)
    listed: list[SupervisedPlugin] = [*plugins]
    strategy = ICaRL(
        feature_extractor=_Features(model),
        classifier=nn.Linear(model[-1].n_inputs, model[-1].n_classes),
        optimizer=optimizer,
        memory_size=0,
        buffer_transform=None,
        fixed_memory=True,
        plugins=listed,
        **template,
    )
    # Behind iCaRL's own plugin, which chooses exemplars, and ahead of the evaluator, which counts bytes.
    strategy.plugins.insert(strategy.plugins.index(_plugin_of(strategy)) + 1, _Budget(memory))
    return strategy


def _plugin_of(strategy: Any) -> Any:
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, _ICaRLPlugin))
