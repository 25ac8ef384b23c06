"""Leaky neurons of feature maps as Triton programs (`base.BaseKernel.run_maps`); imported on first use only.

Every program takes some neurons through all time steps with their state in registers: each current is read once and
each spike written once, and on the way back the same. Membranes are computed in float32 (float64 where that is given)
and kept as their distance from the threshold, whose sign survives half precision.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels.triton_programs import on_device_of, surrogate_derivative

#: Neurons of a program: four for each of its threads.
_BLOCK = 512
_N_WARPS = 4


def run_maps(currents: Tensor, parameters: NeuronParameters) -> Tensor:
    """Currents `[T, N]` to spikes `[T, N]`, from rest."""
    currents = currents.contiguous()
    if torch.is_grad_enabled() and currents.requires_grad:
        spikes: Tensor = _Maps.apply(currents, parameters)
        return spikes
    return _run_steps(currents, parameters, None)


def _run_steps(currents: Tensor, parameters: NeuronParameters, above: Tensor | None) -> Tensor:
    spikes = torch.empty_like(currents)
    n_steps, n_neurons = currents.shape
    with on_device_of(currents):
        _forward[(triton.cdiv(n_neurons, _BLOCK),)](
            currents,
            spikes,
            above,
            n_neurons,
            n_steps,
            BETA=parameters.beta,
            THRESHOLD=parameters.threshold,
            RESET=parameters.reset,
            DOUBLE=currents.dtype == torch.float64,
            KEEP=above is not None,
            BLOCK=_BLOCK,
            num_warps=_N_WARPS,
            enable_fp_fusion=False,
        )
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
        n_steps, n_neurons = above.shape
        grad_currents = torch.empty_like(above)
        with on_device_of(above):
            _backward[(triton.cdiv(n_neurons, _BLOCK),)](
                above,
                grad_spikes.contiguous(),
                grad_currents,
                n_neurons,
                n_steps,
                BETA=parameters.beta,
                THRESHOLD=parameters.threshold,
                RESET=parameters.reset,
                PASSES_RESET=parameters.reset == "zero" and not parameters.reset_delay,
                SURROGATE=parameters.surrogate.name,
                PARAMETER=parameters.surrogate.parameter,
                DOUBLE=above.dtype == torch.float64,
                BLOCK=_BLOCK,
                num_warps=_N_WARPS,
            )
        return grad_currents, None


@triton.jit(do_not_specialize=["n_steps"])
def _forward(
    currents: tl.tensor,
    spikes: tl.tensor,
    above: tl.tensor,
    n_neurons: tl.tensor,
    n_steps: tl.tensor,
    BETA: tl.constexpr,
    THRESHOLD: tl.constexpr,
    RESET: tl.constexpr,
    DOUBLE: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    wide = tl.float64 if DOUBLE else tl.float32
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    present = place < n_neurons
    kept = tl.zeros([BLOCK], wide)
    owed = tl.zeros([BLOCK], wide)
    for _ in range(n_steps):
        # In the order of the reference, so that every rounding is one that it makes too.
        membrane = (kept + tl.load(currents + place, mask=present, other=0.0).to(wide)) - owed
        distance = membrane - THRESHOLD
        fired = distance > 0.0
        tl.store(spikes + place, fired.to(spikes.dtype.element_ty), mask=present)
        if KEEP:
            tl.store(above + place, distance.to(above.dtype.element_ty), mask=present)
        kept = membrane * BETA
        if RESET == "zero":
            kept = tl.where(fired, 0.0, kept).to(wide)
        elif RESET == "subtract":
            owed = fired.to(wide) * THRESHOLD
        place += n_neurons


@triton.jit(do_not_specialize=["n_steps"])
def _backward(
    above: tl.tensor,
    grad_spikes: tl.tensor,
    grad_currents: tl.tensor,
    n_neurons: tl.tensor,
    n_steps: tl.tensor,
    BETA: tl.constexpr,
    THRESHOLD: tl.constexpr,
    RESET: tl.constexpr,
    PASSES_RESET: tl.constexpr,
    SURROGATE: tl.constexpr,
    PARAMETER: tl.constexpr,
    DOUBLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    wide = tl.float64 if DOUBLE else tl.float32
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    present = place < n_neurons
    place += (n_steps - 1).to(tl.int64) * n_neurons
    left = tl.zeros([BLOCK], wide)
    for _ in range(n_steps):
        distance = tl.load(above + place, mask=present, other=0.0).to(wide)
        grad = tl.load(grad_spikes + place, mask=present, other=0.0).to(wide)
        if PASSES_RESET:
            grad -= left * (distance + THRESHOLD)
        if RESET == "zero":
            left = tl.where(distance > 0.0, 0.0, left).to(wide)
        grad = left + grad * surrogate_derivative(distance, SURROGATE, PARAMETER)
        tl.store(grad_currents + place, grad.to(grad_currents.dtype.element_ty), mask=present)
        left = grad * BETA
        place -= n_neurons
