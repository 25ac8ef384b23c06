"""The floor: the dense products of a network's training step as few large ones, and no neuron at all.

No implementation that multiplies densely can be faster; one that skips what is silent can.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.speed.ours import Weights


class Products:
    """All products of a training step, into memory that is there already.

    Forward, each layer: x W^T and S V^T. Backward: the gradients of W and V, of S through V, and of x through W for
    all layers but the first. T steps of B samples are one product of T B rows.

    Args:
        weights: of the network.
        rasters: `[B, T, C]`; what the hidden layers would spike is drawn at random, it decides nothing here.
    """

    def __init__(self, weights: Weights, rasters: Tensor) -> None:
        rows = rasters.flatten(0, 1)
        self._forward: list[tuple[Tensor, Tensor, Tensor]] = []
        self._backward: list[tuple[Tensor, Tensor, Tensor]] = []
        x, is_input = rows, True
        for weight, recurrent_weight in (*weights.layers, (weights.readout, None)):
            y = torch.rand(len(rows), len(weight), device=rows.device)
            self._add(x, weight, y, is_input)
            if recurrent_weight is not None:
                self._add(y, recurrent_weight, y, False)
            x, is_input = y, False

    def _add(self, x: Tensor, weight: Tensor, y: Tensor, is_input: bool) -> None:
        weight = weight.to(x.device)
        self._forward.append((x, weight.T, torch.empty_like(y)))
        self._backward.append((y.T, x, torch.empty_like(weight)))
        if not is_input:
            self._backward.append((y, weight, torch.empty_like(x)))

    def forward(self) -> None:
        """Carry out the products of the forward pass."""
        for left, right, result in self._forward:
            torch.mm(left, right, out=result)

    def backward(self) -> None:
        """Carry out the products of the backward pass."""
        for left, right, result in self._backward:
            torch.mm(left, right, out=result)
