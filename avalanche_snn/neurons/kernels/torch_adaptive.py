"""Adaptive neurons in the `torch` kernel.

With A = alpha, D = 1 - A, and the equations of `adaptive_leaky_step`, the gradients are (g[t] that of the output, s'
the surrogate derivative, X[t] = U[t-1] - th S[t-1], or U[t-1] (1 - S[t-1]) for a reset to zero, or U[t-1] without):

    dS[t] = g[t] + V^T dI[t+1] + b dW[t+1] - A th dU[t+1]            (to zero: - A U[t] dU[t+1])
    dU[t] = s'(U[t] - th) dS[t] + A dU[t+1] + a dW[t+1]              (to zero: A (1 - S[t]) dU[t+1])
    dW[t] = beta dW[t+1] - D dU[t]
    dI[t] = D dU[t]
    dV    = sum over t of dI[t] S[t-1]^T
    dA    = sum over t of dU[t] (X[t] - U[t]) / D,   as U[t] = A X[t] + D (I[t] + V S[t-1] - W[t])
    dbeta = sum over t of dW[t] W[t-1],   da = sum of dW[t] U[t-1],   db = sum of dW[t] S[t-1]

The adaptation current is not kept: it follows from membranes and spikes, and is computed again on the way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.kernels.torch_products import product, recurrent_weight_gradient


def run_adaptive_steps(currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
    """Currents `[T, B, H]` to spikes `[T, B, H]`, from rest; the membranes take the place of the currents in memory."""
    inputs = [currents, *parameters.per_neuron]
    if recurrent_weight is not None:
        inputs.append(recurrent_weight)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        spikes: Tensor = _AdaptiveSequence.apply(currents, recurrent_weight, *parameters.per_neuron, parameters)
        return spikes
    return _run_steps(currents, recurrent_weight, parameters)


def _run_steps(currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
    """Return the spikes, and leave the membranes in `currents`."""
    alpha, beta, a, b = (tensor.detach() for tensor in parameters.per_neuron)
    complement = 1.0 - alpha
    output = torch.empty(currents.shape, dtype=currents.dtype, device=currents.device)
    adaptation = torch.zeros_like(output[0])
    spikes, membranes = output.unbind(0), currents.unbind(0)
    for step, (fired, membrane) in enumerate(zip(spikes, membranes, strict=True)):
        if step:
            before, fired_before = membranes[step - 1], spikes[step - 1]
            adaptation.mul_(beta).addcmul_(before, a).addcmul_(fired_before, b)
            membrane.sub_(adaptation)
            if recurrent_weight is not None:
                membrane.add_(product(fired_before, recurrent_weight))
            membrane.mul_(complement).addcmul_(_kept(before, fired_before, parameters), alpha)
        else:
            membrane.mul_(complement)
        torch.gt(membrane, parameters.threshold, out=fired)
    return output


def _kept(membrane: Tensor, fired: Tensor, parameters: AdaptiveParameters) -> Tensor:
    """What a reset leaves of a membrane."""
    if parameters.reset == "subtract":
        return torch.sub(membrane, fired, alpha=parameters.threshold)
    if parameters.reset == "zero":
        return torch.addcmul(membrane, membrane, fired, value=-1.0)
    return membrane


class _AdaptiveSequence(torch.autograd.Function):
    """Currents `[T, B, H]`, recurrent weights and the four numbers of each neuron to spikes `[T, B, H]`."""

    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        recurrent_weight: Tensor | None,
        alpha: Tensor,
        beta: Tensor,
        a: Tensor,
        b: Tensor,
        parameters: AdaptiveParameters,
    ) -> Tensor:
        output = _run_steps(currents, recurrent_weight, parameters)
        ctx.constants = parameters.threshold, parameters.reset, parameters.surrogate
        ctx.save_for_backward(currents, recurrent_weight, alpha, beta, a, b)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        currents, recurrent_weight, *per_neuron = ctx.saved_tensors
        parameters = AdaptiveParameters(*per_neuron, *ctx.constants)
        alpha, beta, a, b = per_neuron
        threshold, complement = parameters.threshold, 1.0 - alpha
        membranes, grad_spikes = currents.unbind(0), grad_output.unbind(0)
        n_steps = len(membranes)
        adaptations = _adaptations(membranes, parameters)
        grad_currents = torch.empty_like(currents)
        grads = grad_currents.unbind(0)
        backward_weight = None if recurrent_weight is None else recurrent_weight.T.contiguous()
        rest = torch.zeros(currents.shape[1:], dtype=currents.dtype, device=currents.device)
        grad_membrane, grad_adaptation = rest.clone(), rest.clone()
        grad_alpha, grad_beta, grad_a, grad_b = (torch.zeros_like(rest) for _ in range(4))
        fired = (membranes[-1] > threshold).to(currents.dtype)
        for step in reversed(range(n_steps)):
            membrane = membranes[step]
            grad_fired = grad_spikes[step]
            if step + 1 < n_steps:
                grad_fired = torch.addcmul(grad_fired, grad_adaptation, b)
                grad_kept = grad_membrane * alpha
                if parameters.reset == "subtract":
                    grad_fired.sub_(grad_kept, alpha=threshold)
                elif parameters.reset == "zero":
                    grad_fired.addcmul_(grad_kept, membrane, value=-1.0)
                    grad_kept.addcmul_(grad_kept, fired, value=-1.0)
                if backward_weight is not None:
                    grad_fired.add_(product(grads[step + 1], backward_weight))
                grad_membrane = grad_kept.addcmul_(grad_adaptation, a)
            grad_membrane = torch.addcmul(
                grad_membrane, grad_fired, parameters.surrogate.derivative(membrane - threshold)
            )
            grad_adaptation.mul_(beta).addcmul_(grad_membrane, complement, value=-1.0)
            torch.mul(grad_membrane, complement, out=grads[step])
            if step:
                fired = (membranes[step - 1] > threshold).to(currents.dtype)
                kept = _kept(membranes[step - 1], fired, parameters)
                grad_beta.addcmul_(grad_adaptation, adaptations[step - 1])
                grad_a.addcmul_(grad_adaptation, membranes[step - 1])
                grad_b.addcmul_(grad_adaptation, fired)
            else:
                kept = rest
            grad_alpha.addcmul_(grad_membrane, kept - membrane)
        grad_weight = None
        if recurrent_weight is not None and ctx.needs_input_grad[1]:
            grad_weight = recurrent_weight_gradient(grad_currents, currents, threshold, loop=1)
        per_neuron_grads = (grad_alpha.sum(0) / complement, grad_beta.sum(0), grad_a.sum(0), grad_b.sum(0))
        return grad_currents, grad_weight, *per_neuron_grads, None


def _adaptations(membranes: tuple[Tensor, ...], parameters: AdaptiveParameters) -> list[Tensor]:
    """The adaptation currents at every step, computed as on the way forward."""
    adaptation = torch.zeros_like(membranes[0])
    found = [adaptation]
    for membrane in membranes[:-1]:
        fired = (membrane > parameters.threshold).to(membrane.dtype)
        adaptation = (parameters.beta * adaptation).addcmul_(membrane, parameters.a).addcmul_(fired, parameters.b)
        found.append(adaptation)
    return found
