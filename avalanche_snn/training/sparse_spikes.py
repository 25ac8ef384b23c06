"""Few spikes, as an aim of training: spikes are bytes, and operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from avalanche_snn.training.data_parallel import unwrapped
from avalanche_snn.training.stateless_plugin import StatelessPlugin


class SparseSpikes(StatelessPlugin):
    """Add the share of cells that spike in some layers to the loss, so that training finds a network with few spikes.

    For each layer the mean of its output `[B, T, H]`, spikes for each neuron and time step, times a weight. Of a layer
    that will be the end of a frozen front, or of the time pooling behind it, these are the latents: with an entropy
    code (`codec="rice"`), half the spikes are little more than half the bytes.

    Args:
        weights: name of a layer, as `named_modules` gives it -> weight, 0 or more.
        n_experiences: only so many experiences are trained in this way, the first ones; None for all. Layers of a
            frozen front are left alone in any case.

    Raises:
        ValueError: a weight below 0. In training: a layer that is not there.
    """

    def __init__(self, weights: Mapping[str, float], *, n_experiences: int | None = 1) -> None:
        super().__init__()
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"The weight of layer {name!r} must be 0 or more, but {weight!r} came.")
        self.weights = dict(weights)
        self.n_experiences = n_experiences
        self._outputs: dict[str, list[Tensor]] = {}
        self._handles: list[RemovableHandle] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin was made with."""
        return {"weights": self.weights, "n_experiences": self.n_experiences}

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Say now which layers are not there."""
        self._layers_of(strategy.model)

    def before_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Begin to look at the layers: only within `forward`, as strategies copy and save their networks elsewhere."""
        self._look_away()
        self._outputs.clear()
        if self.n_experiences is None or strategy.clock.train_exp_counter < self.n_experiences:
            for name, layer in self._layers_of(strategy.model).items():
                self._handles.append(layer.register_forward_hook(partial(self._saw, name)))

    def after_forward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Look away."""
        self._look_away()

    def before_backward(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Add to the loss what the layers have put out."""
        for name, outputs in self._outputs.items():
            n_cells = sum(output.numel() for output in outputs)
            strategy.loss += self.weights[name] * sum(output.sum() for output in outputs) / n_cells
        self._outputs.clear()

    def _layers_of(self, model: nn.Module) -> dict[str, nn.Module]:
        layers = dict(unwrapped(model).named_modules())
        for name in self.weights:
            if name not in layers:
                known = ", ".join(repr(known) for known in layers if known)
                raise ValueError(f"There is no layer {name!r} to make sparse; this network has {known}.")
        return {name: layers[name] for name in self.weights}

    def _saw(self, name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            self._outputs.setdefault(name, []).append(output)

    def _look_away(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
