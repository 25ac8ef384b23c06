"""The input of a layer in the `torch` kernel: by events where that is cheaper than a dense product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.kernels.torch_events import events_pay, list_events, sum_rows, weight_gradient
from avalanche_snn.neurons.kernels.torch_products import product


class Projection(torch.autograd.Function):
    """Input `[N, M, C]` of any real dtype, weight `[H, C]` and bias `[H]` to currents `[R, H]`, R = N M."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Sum the rows of the transposed weight that events point to, or multiply."""
        ctx.in_shape, ctx.in_dtype = x.shape, x.dtype
        ctx.events = list_events(x) if events_pay(x, weight) else None
        if ctx.events is not None:
            ctx.save_for_backward(weight, None)
            currents = sum_rows(ctx.events, weight)
        else:
            ctx.save_for_backward(weight, x)
            currents = product(_rows(x, weight), weight)
        return currents if bias is None else currents.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_currents: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of input, weight and bias."""
        weight, x = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = product(grad_currents, weight.T).view(ctx.in_shape).to(ctx.in_dtype)
        if ctx.needs_input_grad[1] and ctx.events is not None:
            grad_weight = weight_gradient(ctx.events, grad_currents.contiguous())
        elif ctx.needs_input_grad[1]:
            grad_weight = product(grad_currents.T, _rows(x, weight).T)
        if ctx.needs_input_grad[2]:
            grad_bias = grad_currents.sum(dim=0)
        return grad_x, grad_weight, grad_bias


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    return x.to(weight.dtype).reshape(-1, x.shape[2])
