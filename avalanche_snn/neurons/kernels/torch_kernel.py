"""The `torch` kernel: a layer as two autograd functions with hand-written gradients, in torch operations alone.

The first brings the input to the neurons, as events where that is cheaper than a dense product; the second steps the
neurons through time in preallocated memory and walks the same way back (equations in `base.Timing` and, for adaptive
neurons, in `torch_adaptive`). Of all the steps only the membranes are kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels.base import BaseKernel, Neuron, Timing
from avalanche_snn.neurons.kernels.torch_adaptive import run_adaptive_steps
from avalanche_snn.neurons.kernels.torch_events import EventProjection, events_pay, list_events


class TorchKernel(BaseKernel):
    """Hand-written back-propagation through time in torch; runs on every device and in every floating point dtype."""

    name = "torch"

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return None: it always runs."""
        return None

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, T, C]` to currents `[B, T, H]`."""
        if not x.requires_grad and events_pay(x, weight):
            events = list_events(x)
            if events is not None:
                currents: Tensor = EventProjection.apply(events, weight, bias)
                return currents.view(*x.shape[:2], -1)
        x = x.to(weight.dtype)
        time_major = x.transpose(0, 1)
        if time_major.is_contiguous():  # the output of another spiking layer: moving it costs more than strides
            return functional.linear(time_major, weight, bias).transpose(0, 1)
        return functional.linear(x, weight, bias)

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        if neuron.timing is None:
            raise ValueError("the torch kernel cannot run this neuron: only the reference steps through it")
        time_major = currents.transpose(0, 1)
        differentiable = currents.requires_grad or (recurrent_weight is not None and recurrent_weight.requires_grad)
        if torch.is_grad_enabled() and differentiable:
            spikes: Tensor = _Sequence.apply(time_major, recurrent_weight, neuron.parameters, neuron.timing)
        else:
            spikes = _run_steps(time_major, recurrent_weight, neuron.parameters, neuron.timing)
        return spikes.transpose(0, 1)

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        return run_adaptive_steps(currents.transpose(0, 1), recurrent_weight, parameters).transpose(0, 1)


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
        ctx.save_for_backward(currents, recurrent_weight)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        currents, recurrent_weight = ctx.saved_tensors
        parameters, timing = ctx.parameters, ctx.timing
        membranes = currents.unbind(0)
        grad_spikes = grad_output[timing.delay :].unbind(0)
        n_steps = len(grad_spikes)
        to_zero = parameters.reset == "zero"
        derivative = parameters.surrogate.derivative

        grad_currents = torch.empty_like(currents)  # in the memory order of the layer's input
        grad_currents[n_steps:].zero_()  # the last `delay` currents reach no output
        grads = grad_currents.unbind(0)
        grad_weight = None
        if recurrent_weight is not None and ctx.needs_input_grad[1]:
            grad_weight = torch.zeros_like(recurrent_weight)
        grad_membrane = torch.zeros(currents.shape[1:], dtype=currents.dtype, device=currents.device)
        scratch = torch.empty_like(grad_membrane)
        fired = torch.empty_like(grad_membrane)
        for step in reversed(range(n_steps)):
            grad_fired = grad_spikes[step]
            if recurrent_weight is not None and step + timing.loop < n_steps:
                grad_received = grads[step + timing.loop]
                grad_fired = torch.addmm(grad_fired, grad_received, recurrent_weight, out=scratch)
                if grad_weight is not None:
                    torch.gt(membranes[step], parameters.threshold, out=fired)
                    grad_weight.addmm_(grad_received.T, fired)
            grad_membrane.mul_(parameters.beta)
            grad_membrane.addcmul_(grad_fired, derivative(membranes[step] - parameters.threshold))
            clears = to_zero and step > 0
            if clears:
                torch.gt(membranes[step - 1], parameters.threshold, out=fired)
                if not timing.clear_before_input:
                    grad_membrane.addcmul_(grad_membrane, fired, value=-1.0)
            if step + 1 < n_steps:
                torch.add(grad_membrane, grads[step + 1], alpha=parameters.alpha, out=grads[step])
            else:
                grads[step].copy_(grad_membrane)
            if clears and timing.clear_before_input:
                grad_membrane.addcmul_(grad_membrane, fired, value=-1.0)
        return grad_currents, grad_weight, None, None
