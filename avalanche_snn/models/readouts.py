"""Readouts: from spikes over time to one logit a class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from avalanche_snn.neurons.dynamics import check_decays
from avalanche_snn.neurons.kernels import AUTO, check_kernel_name, choose_kernel
from avalanche_snn.neurons.kernels.integration import REDUCTIONS
from avalanche_snn.neurons.layers import ALPHA, BETA


class LeakyReadout(nn.Module):
    """Leaky integrators with a synaptic current that do not spike, `[B, T, H] -> logits [B, K]`.

    Step by step, from rest: J' = alpha J + W x;  U' = beta U + J (the *old* current, as in `DelayedSynaptic`).
    With `"max"` and cross-entropy this is the readout of compressed latent replays (arXiv 2407.03111): the maximum is
    taken over the membranes before, between and after the steps: rest counts too, and no logit is below 0.

    Args:
        n_inputs: H.
        n_classes: K.
        reduce: `"max"` over time (the first one takes the gradient), or the `"mean"` over the T steps.
        alpha: decay of the synaptic current in one step, 0..1.
        beta: decay of the membrane in one step, 0..1.
        weight_scale: weights `[K, H]` are drawn from N(0, `weight_scale` / sqrt(H)).
        kernel: how to compute it, as in `avalanche_snn.neurons.SpikingLayer`.

    Raises:
        ValueError: an unknown `reduce` or kernel, a decay outside 0..1, sizes below 1.
    """

    def __init__(
        self,
        n_inputs: int,
        n_classes: int,
        reduce: str = "max",
        *,
        alpha: float = ALPHA,
        beta: float = BETA,
        weight_scale: float = 0.2,
        kernel: str = AUTO,
    ) -> None:
        super().__init__()
        if reduce not in REDUCTIONS:
            raise ValueError(f"unknown readout {reduce!r}: choose one of {', '.join(map(repr, REDUCTIONS))}")
        if n_inputs < 1 or n_classes < 1:
            raise ValueError(f"LeakyReadout: wanted at least 1 input and 1 class, came {n_inputs} and {n_classes}")
        check_decays(alpha=alpha, beta=beta)
        check_kernel_name(kernel)
        self.kernel = kernel
        self.n_inputs = n_inputs
        self.n_classes = n_classes
        self.reduce = reduce
        self.alpha = alpha
        self.beta = beta
        self.weight_scale = weight_scale
        self.weight = nn.Parameter(torch.empty(n_classes, n_inputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights from N(0, `weight_scale` / sqrt(H))."""
        nn.init.normal_(self.weight, 0.0, self.weight_scale / math.sqrt(self.n_inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Integrate `[B, T, H]` (cast to the dtype of the weights) to logits `[B, K]`.

        Raises:
            ValueError: an input of another shape.
        """
        if x.dim() != 3 or x.shape[1] < 1 or x.shape[2] != self.n_inputs:
            raise ValueError(f"LeakyReadout wanted an input [B, T, {self.n_inputs}], T >= 1, came {list(x.shape)}")
        kernel = choose_kernel(self.kernel, self.weight.device, self.weight.dtype)
        # In half precision, under autocast, sums over time would be rounded away.
        with torch.autocast(x.device.type, enabled=False):
            return kernel.integrate(kernel.project(x, self.weight, None), self.alpha, self.beta, self.reduce)

    def extra_repr(self) -> str:
        """Sizes and constants, for `print(model)`."""
        return f"{self.n_inputs}, {self.n_classes}, {self.reduce}, alpha={self.alpha:.4g}, beta={self.beta:.4g}"
