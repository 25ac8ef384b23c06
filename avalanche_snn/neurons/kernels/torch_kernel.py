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

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels.base import BaseKernel, Neuron, Timing
from avalanche_snn.neurons.kernels.freed_memory import keep_freed_memory
from avalanche_snn.neurons.kernels.torch_adaptive import run_adaptive_steps
from avalanche_snn.neurons.kernels.torch_maps import run_maps
from avalanche_snn.neurons.kernels.torch_products import blocks, product, recurrent_weight_gradient
from avalanche_snn.neurons.kernels.torch_projection import Projection


class TorchKernel(BaseKernel):
    """Hand-written back-propagation through time in torch; runs on every device and in every floating point dtype."""

    name = "torch"

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return None: it always runs."""
        return None

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, T, C]` to currents `[B, T, H]`."""
        if x.device.type == "cpu":
            keep_freed_memory()
        time_major = x.transpose(0, 1)
        currents: Tensor = Projection.apply(time_major, weight, bias)
        return currents.view(*time_major.shape[:2], weight.shape[0]).transpose(0, 1)

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        timing = neuron.timing_for(self.name)
        time_major = currents.transpose(0, 1)
        differentiable = currents.requires_grad or (recurrent_weight is not None and recurrent_weight.requires_grad)
        if torch.is_grad_enabled() and differentiable:
            spikes: Tensor = _Sequence.apply(time_major, recurrent_weight, neuron.parameters, timing)
        else:
            spikes = _run_steps(time_major, recurrent_weight, neuron.parameters, timing)
        return spikes.transpose(0, 1)

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        return run_adaptive_steps(currents.transpose(0, 1), recurrent_weight, parameters).transpose(0, 1)

    def run_maps(self, currents: Tensor, parameters: NeuronParameters) -> Tensor:
        """Currents `[T, N]` to spikes `[T, N]`."""
        return run_maps(currents, parameters)


def _run_steps(
    currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters, timing: Timing
) -> Tensor:
    """Return the output, and leave the membranes in `currents` (but for its last `delay` steps)."""
    output = torch.empty(currents.shape, dtype=currents.dtype, device=currents.device)
    output[: timing.delay].zero_()
    spikes = output[timing.delay :].unbind(0)
    membranes = currents.unbind(0)
    # As tensors: a number would be made one at every step.
    beta, threshold = output.new_tensor(parameters.beta), output.new_tensor(parameters.threshold)
    synapse = torch.zeros_like(output[0])
    previous = torch.zeros_like(synapse)
    for step, fired in enumerate(spikes):
        membrane = membranes[step]
        torch.add(membrane, synapse, alpha=parameters.alpha, out=synapse)
        if recurrent_weight is not None and step >= timing.loop:
            synapse.add_(product(spikes[step - timing.loop], recurrent_weight))
        torch.mul(previous, beta, out=membrane)
        if step and timing.clear_before_input:
            _apply_reset(membrane, spikes[step - 1], parameters)
        membrane.add_(synapse)
        if step and not timing.clear_before_input:
            _apply_reset(membrane, spikes[step - 1], parameters)
        torch.gt(membrane, threshold, out=fired)
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
        membranes, recurrent_weight = ctx.saved_tensors
        parameters, timing = ctx.parameters, ctx.timing
        n_steps = len(membranes) - timing.delay
        grad_currents = torch.empty_like(membranes)
        grads, reached = grad_currents[:n_steps], membranes[:n_steps]
        grad_currents[n_steps:].zero_()  # the last `delay` currents reach no output
        _run_back(grads, reached, grad_output[timing.delay :], recurrent_weight, parameters, timing)
        grad_weight = None
        if recurrent_weight is not None and ctx.needs_input_grad[1]:
            grad_weight = recurrent_weight_gradient(grads, reached, parameters.threshold, timing.loop)
        return grad_currents, grad_weight, None, None


def _run_back(
    grad_currents: Tensor,
    membranes: Tensor,
    grad_spikes: Tensor,
    recurrent_weight: Tensor | None,
    parameters: NeuronParameters,
    timing: Timing,
) -> None:
    """Fill in the gradients of the currents, all `[T, B, H]`, from the last step to the first."""
    grads = grad_currents.unbind(0)
    n_steps = len(grads)
    backward_weight = None if recurrent_weight is None else recurrent_weight.T.contiguous()
    beta = membranes.new_tensor(parameters.beta)  # as a tensor: a number would be made one at every step
    grad_membrane = torch.zeros(membranes.shape[1:], dtype=membranes.dtype, device=membranes.device)
    for start, end in reversed(blocks(n_steps, grad_membrane.numel())):
        # What needs no gradient of a later step is computed for a block of steps at once.
        derivatives = parameters.surrogate.derivative(membranes[start:end] - parameters.threshold)
        keeps = None
        if parameters.reset == "zero":
            keeps = (membranes[max(0, start - 1) : end - 1] <= parameters.threshold).to(membranes.dtype)
        for step in reversed(range(start, end)):
            grad_fired = grad_spikes[step]
            if backward_weight is not None and step + timing.loop < n_steps:
                grad_fired = product(grads[step + timing.loop], backward_weight).add_(grad_fired)
            grad_membrane.mul_(beta).addcmul_(grad_fired, derivatives[step - start])
            kept = keeps[step - max(1, start)] if keeps is not None and step > 0 else None
            if kept is not None and not timing.clear_before_input:
                grad_membrane.mul_(kept)
            if step + 1 < n_steps:
                torch.add(grad_membrane, grads[step + 1], alpha=parameters.alpha, out=grads[step])
            else:
                grads[step].copy_(grad_membrane)
            if kept is not None and timing.clear_before_input:
                grad_membrane.mul_(kept)
