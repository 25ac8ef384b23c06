"""Leaky neurons of feature maps in torch operations (equations in `base.BaseKernel.run_maps`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.dynamics import NeuronParameters


def run_maps(currents: Tensor, parameters: NeuronParameters) -> Tensor:
    """Currents `[T, N]` to spikes `[T, N]`, from rest."""
    if torch.is_grad_enabled() and currents.requires_grad:
        spikes: Tensor = _Maps.apply(currents, parameters)
        return spikes
    return _run_steps(currents, parameters, None)


def _run_steps(currents: Tensor, parameters: NeuronParameters, above: Tensor | None) -> Tensor:
    """Return the spikes, and leave in `above`, where it is given, how far membranes are above the threshold.

    The difference keeps its sign in half precision, where the membrane itself would be rounded to the threshold.
    """
    spikes = torch.empty_like(currents)
    membrane = torch.zeros(currents.shape[1:], dtype=_wide(currents), device=currents.device)
    for step, current in enumerate(currents):
        if step:
            fired = spikes[step - 1]
            if parameters.reset == "zero":
                membrane.addcmul_(membrane, fired.to(membrane.dtype), value=-1.0)
            membrane.mul_(parameters.beta).add_(current)
            if parameters.reset == "subtract":
                membrane.sub_(fired, alpha=parameters.threshold)
        else:
            membrane.copy_(current)
        torch.gt(membrane, parameters.threshold, out=spikes[step])
        if above is not None:
            above[step].copy_(membrane - parameters.threshold)
    return spikes


class _Maps(torch.autograd.Function):
    """Currents `[T, N]` to spikes `[T, N]`; keeps the distance of the membranes from the threshold."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, parameters: NeuronParameters) -> Tensor:
        above = torch.empty_like(currents)
        spikes = _run_steps(currents, parameters, above)
        ctx.parameters = parameters
        ctx.save_for_backward(above)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None]:
        (above,) = ctx.saved_tensors
        parameters: NeuronParameters = ctx.parameters
        grad_currents = torch.empty_like(above)
        passes_reset = parameters.reset == "zero" and not parameters.reset_delay
        left = torch.zeros(above.shape[1:], dtype=_wide(above), device=above.device)
        for step in reversed(range(len(above))):
            distance = above[step].to(left.dtype)
            grad = grad_spikes[step].to(left.dtype)
            if passes_reset:
                grad = grad - left * (distance + parameters.threshold)
            if parameters.reset == "zero":
                left = left * (distance <= 0)
            grad_current = left.addcmul(grad, parameters.surrogate.derivative(distance))
            grad_currents[step].copy_(grad_current)
            left = grad_current.mul_(parameters.beta)
        return grad_currents, None


def _wide(currents: Tensor) -> torch.dtype:
    return torch.promote_types(currents.dtype, torch.float32)
