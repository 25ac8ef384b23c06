"""A layer of adaptive neurons, whose time constants are trained with the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import check_threshold_and_reset
from avalanche_snn.neurons.layers import SpikingLayer
from avalanche_snn.neurons.surrogates import Surrogate, parse_surrogate

#: Where each of a neuron's four numbers starts, uniformly drawn, and where it is kept (Bittar & Garner 2022, table 1).
RANGES = {
    "alpha": (math.exp(-1 / 5), math.exp(-1 / 25)),
    "beta": (math.exp(-1 / 30), math.exp(-1 / 120)),
    "a": (-1.0, 1.0),
    "b": (0.0, 2.0),
}


class AdaptiveLeaky(SpikingLayer):
    """Adaptive leaky integrate-and-fire neurons (Bittar & Garner 2022); equations in `adaptive.adaptive_leaky_step`.

    `[B, T, C] -> [B, T, H]`. Membrane and adaptation decay, and how strongly membrane and spikes drive the adaptation,
    are four trained numbers a neuron; they start uniformly within `RANGES` and take part clamped to them. Recurrent
    weights start orthogonal; no neuron is connected to itself. Neurons start from rest, where the paper's code draws a
    random state. Arguments as in `SpikingLayer` and `AdaptiveParameters`; defaults are the
    paper's, but for the normalisation of the input currents, which its networks have.

    Attributes:
        alpha: decay of the membrane in one step, `[H]`.
        beta: decay of the adaptation current in one step, `[H]`.
        a: how much the membrane drives the adaptation current, `[H]`.
        b: what a spike adds to the adaptation current, `[H]`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        recurrent: bool = True,
        bias: bool = False,
        batch_norm: bool = False,
        threshold: float = 1.0,
        reset: str = "subtract",
        surrogate: str | Surrogate = "box/1",
        kernel: str = "auto",
    ) -> None:
        check_threshold_and_reset(threshold, reset)
        self.threshold = threshold
        self.reset = reset
        self.surrogate = parse_surrogate(surrogate)
        super().__init__(n_inputs, n_outputs, recurrent=recurrent, bias=bias, batch_norm=batch_norm, kernel=kernel)
        for name in RANGES:
            self.register_parameter(name, nn.Parameter(torch.empty(n_outputs)))
        self._reset_neurons()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform within 1 / sqrt(fan in), recurrent ones orthogonal; and new neurons."""
        super().reset_parameters()
        if self.recurrent_weight is not None:
            nn.init.orthogonal_(self.recurrent_weight)
        if "alpha" in self._parameters:  # not while the base class is being set up
            self._reset_neurons()

    def scale_threshold(self, factor: float) -> None:
        """As in `SpikingLayer`; what a spike adds to the adaptation current is divided too, within its range."""
        super().scale_threshold(factor)
        with torch.no_grad():
            b = self.get_parameter("b")
            b.copy_(b.clamp(*RANGES["b"]) / factor)

    def _reset_neurons(self) -> None:
        for name, (low, high) in RANGES.items():
            nn.init.uniform_(self.get_parameter(name), low, high)

    def _recurrent_weight(self) -> Tensor | None:
        if self.recurrent_weight is None:
            return None
        return torch.diagonal_scatter(self.recurrent_weight, self.recurrent_weight.new_zeros(self.n_outputs))

    def _neuron(self) -> AdaptiveParameters:
        alpha, beta, a, b = (self.get_parameter(name).clamp(low, high) for name, (low, high) in RANGES.items())
        return AdaptiveParameters(alpha, beta, a, b, self.threshold, self.reset, self.surrogate)

    def _describe_neuron(self) -> str:
        return f"threshold={self.threshold:g}, reset={self.reset}, surrogate={self.surrogate}"
