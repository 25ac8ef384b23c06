"""iCaRL: features learned with replay and distillation, classes by the nearest mean of exemplars (Rebuffi 2017)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.losses import ICaRLLossPlugin
from avalanche.training.supervised import ICaRL
from avalanche.training.supervised.icarl import _ICaRLPlugin
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from avalanche_snn.training import parse_memory_size
from strategies._exemplars import Costs, bytes_of_some, lengths_within, n_classes_of, require_room
from strategies._features import SpikeCounts
from strategies._packed_rasters import PackedRasters

# Its loss is a sigmoid for each class: a network that was trained with another is not its beginning.
TRAINS_FIRST_EXPERIENCE = True
PREDICTS_SEEN_CLASSES = True
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

    Avalanche stores rasters as the network takes them, a byte or more a cell. Classes that have not come have a mean of
    0 there, to which every sample is nearer than to a class that it hardly resembles; they are put out of reach. And
    its old network goes on in training mode, with dropout and changing batch statistics: here its features hold still.
    """

    def __init__(self, memory: str | int) -> None:
        super().__init__()
        self._memory = memory
        self._smallest = sys.maxsize
        self._largest = 0
        self.packed: list[PackedRasters] = []

    def before_train_dataset_adaptation(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """See that there is room for one exemplar of each class, and unpack those that there are."""
        icarl, experience = _plugin_of(strategy), strategy.experience
        sizes = bytes_of_some(experience.dataset) + PackedRasters.MOST_EXTRA_BYTES + _LABEL_BYTES
        self._smallest = min(self._smallest, int(sizes.min()))
        self._largest = max(self._largest, int(sizes.max()))
        require_room(self._memory, n_classes_of(experience), self._largest)
        budget = parse_memory_size(self._memory)
        # Avalanche is to choose more than fit, in an order that tells which of them to keep.
        icarl.memory_size = sys.maxsize if budget is None else budget // self._smallest
        icarl.x_memory = [rasters.unpacked() for rasters in self.packed]

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Put the features of the old network into evaluation mode; its readout is the one of training."""
        for plugin in strategy.plugins:
            if isinstance(plugin, ICaRLLossPlugin) and plugin.old_model is not None:
                plugin.old_model.feature_extractor.eval()

    def after_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Keep as many exemplars of each class as fit, the first that herding chose, and pack them.

        Raises:
            BudgetTooSmallError: not even one of each class fits.
        """
        icarl = _plugin_of(strategy)
        packed = [PackedRasters.of(rasters) for rasters in icarl.x_memory]
        places = [order.argsort() for order in icarl.order]
        costs = [
            _costs(rasters.bytes_each[of_class.numpy()] + _LABEL_BYTES)
            for rasters, of_class in zip(packed, places, strict=True)
        ]
        self._largest = max(self._largest, *(of_class.of_first(1) for of_class in costs))
        require_room(self._memory, len(costs), self._largest)
        lengths = lengths_within(costs, parse_memory_size(self._memory))
        for number, length in enumerate(lengths):
            kept = places[number][:length].sort().values
            icarl.order[number] = icarl.order[number][kept]
            icarl.x_memory[number] = icarl.x_memory[number][kept]
            icarl.y_memory[number] = icarl.y_memory[number][:length]
            packed[number] = packed[number].keep(kept)
        strategy.model.eval()
        icarl.compute_class_means(strategy)
        strategy.model.train()
        self.packed, icarl.x_memory = packed, []

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
        """Return the exemplars, packed, and the sizes that samples had."""
        return {"sizes": [self._smallest, self._largest], "rasters": [rasters.state() for rasters in self.packed]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the exemplars of another plugin."""
        self._smallest, self._largest = state["sizes"]
        self.packed = [PackedRasters.from_state(rasters) for rasters in state["rasters"]]


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
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length, label
            and place in the order of herding. The old network and the means come on top.
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


def _costs(sizes: NDArray[np.int64]) -> Costs:
    return Costs(len(sizes), lambda positions: sizes[positions.start : positions.stop])
