"""The `torch` kernel: a whole layer over a whole sequence as one autograd function with hand-written back-propagation.

All three neurons of this package are one recurrence that differs in when spikes come back and when they go out:

    h[t] = I[t] + V S[t - L]                  L: steps a spike takes round the recurrent loop
    J[t] = a J[t-1] + h[t]                    a = 0 for a neuron without synaptic current
    U[t] = b U[t-1] + J[t], reset where S[t-1]
    S[t] = [U[t] > th]
    output[t] = S[t - D]                      D: steps the output is late

with L = 1, D = 0 for `leaky_step` and `synaptic_step`, and L = 3, D = 2 for `delayed_synaptic_step`.
The gradients, with g[t] that of the output for S[t], s' the surrogate derivative, and r[t] = 1 - S[t-1] for a reset to
zero and 1 otherwise (the reset itself is not differentiated; where it clears the membrane before the input is added, dI
goes without r):

    dS[t] = g[t] + V^T dI[t + L]
    dU[t] = s'(U[t] - th) dS[t] + b r[t+1] dU[t+1]
    dI[t] = a dI[t+1] + r[t] dU[t]
    dV    = sum over t of dI[t] S[t - L]^T
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.dynamics import NeuronParameters


@dataclass(frozen=True)
class Timing:
    """When spikes come back and go out.

    Attributes:
        loop: steps a spike takes round the recurrent loop, >= 1.
        delay: steps by which the output is late, >= 0.
        clear_before_input: a reset to zero clears the membrane before the input is added, not after.
    """

    loop: int
    delay: int
    clear_before_input: bool = False


def run_torch(
    currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters, timing: Timing
) -> Tensor:
    """Run a neuron from rest over a sequence; the same spikes and gradients as `run_reference`, several times faster.

    The currents are used up: the membranes take their place in memory, step by step.

    Args:
        currents: input currents `[T, B, H]`, T >= 1, in any memory order; nothing else may need their values.
        recurrent_weight: `[H (to), H (from)]` or None.
        parameters: the constants; `reset_delay` must be True.
        timing: which neuron this is.

    Returns:
        Spikes `[T, B, H]`, contiguous.
    """
    differentiable = currents.requires_grad or (recurrent_weight is not None and recurrent_weight.requires_grad)
    if torch.is_grad_enabled() and differentiable:
        spikes: Tensor = _Sequence.apply(currents, recurrent_weight, parameters, timing)
        return spikes
    return _run_steps(currents, recurrent_weight, parameters, timing)


def _run_steps(
    currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters, timing: Timing
) -> Tensor:
    """Return the output, and leave the membranes in `currents` (but for its last `delay` steps)."""
    output = torch.empty(currents.shape, dtype=currents.dtype, device=currents.device)
    output[: timing.delay].zero_()
    spikes = output[timing.delay :].unbind(0)
    membranes = currents.unbind(0)
    transposed_weight = None if recurrent_weight is None else recurrent_weight.T
    synapse = torch.zeros_like(output[0])
    previous = torch.zeros_like(synapse)
    for step, fired in enumerate(spikes):
        membrane = membranes[step]
        torch.add(membrane, synapse, alpha=parameters.alpha, out=synapse)
        if transposed_weight is not None and step >= timing.loop:
            synapse.addmm_(spikes[step - timing.loop], transposed_weight)
        torch.mul(previous, parameters.beta, out=membrane)
        if step and timing.clear_before_input:
            _apply_reset(membrane, spikes[step - 1], parameters)
        membrane.add_(synapse)
        if step and not timing.clear_before_input:
            _apply_reset(membrane, spikes[step - 1], parameters)
        torch.gt(membrane, parameters.threshold, out=fired)
        previous = membrane
    return output


def _apply_reset(membrane: Tensor, fired: Tensor, parameters: NeuronParameters) -> None:
    if parameters.reset == "zero":
        membrane.addcmul_(membrane, fired, value=-1.0)
    elif parameters.reset == "subtract":
        membrane.sub_(fired, alpha=parameters.threshold)


class _Sequence(torch.autograd.Function):
    """Currents `[T, B, H]` and recurrent weights to spikes `[T, B, H]`; keeps the membranes for the way back."""

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters, timing: Timing
    ) -> Tensor:
        output = _run_steps(currents, recurrent_weight, parameters, timing)
        ctx.parameters, ctx.timing = parameters, timing
        ctx.save_for_backward(output, currents, recurrent_weight)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        output, currents, recurrent_weight = ctx.saved_tensors
        parameters, timing = ctx.parameters, ctx.timing
        membranes = currents.unbind(0)
        spikes = output[timing.delay :].unbind(0)
        grad_spikes = grad_output[timing.delay :].unbind(0)
        n_steps = len(spikes)
        to_zero = parameters.reset == "zero"
        derivative = parameters.surrogate.derivative

        grad_currents = torch.empty_like(currents)  # in the memory order of the layer's input
        grad_currents[n_steps:].zero_()  # the last `delay` currents reach no output
        grads = grad_currents.unbind(0)
        grad_weight = None
        if recurrent_weight is not None and ctx.needs_input_grad[1]:
            grad_weight = torch.zeros_like(recurrent_weight)
        grad_membrane = torch.zeros_like(output[0])
        scratch = torch.empty_like(grad_membrane)
        for step in reversed(range(n_steps)):
            grad_fired = grad_spikes[step]
            if recurrent_weight is not None and step + timing.loop < n_steps:
                grad_received = grads[step + timing.loop]
                grad_fired = torch.addmm(grad_fired, grad_received, recurrent_weight, out=scratch)
                if grad_weight is not None:
                    grad_weight.addmm_(grad_received.T, spikes[step])
            grad_membrane.mul_(parameters.beta)
            grad_membrane.addcmul_(grad_fired, derivative(membranes[step] - parameters.threshold))
            cleared = spikes[step - 1] if to_zero and step else None
            if cleared is not None and not timing.clear_before_input:
                grad_membrane.addcmul_(grad_membrane, cleared, value=-1.0)
            if step + 1 < n_steps:
                torch.add(grad_membrane, grads[step + 1], alpha=parameters.alpha, out=grads[step])
            else:
                grads[step].copy_(grad_membrane)
            if cleared is not None and timing.clear_before_input:
                grad_membrane.addcmul_(grad_membrane, cleared, value=-1.0)
        return grad_currents, grad_weight, None, None
