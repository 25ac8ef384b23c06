"""Neurons with fixed time constants as Triton programs (equations in `base.Timing`); imported on first use only."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.dynamics import NeuronParameters
from avalanche_snn.neurons.kernels.base import Timing
from avalanche_snn.neurons.kernels.triton_programs import (
    add_weighted_rows,
    add_weights_of_events,
    event_lists,
    launch_backward,
    launch_forward,
    on_device_of,
    surrogate_derivative,
    weight_gradient,
    write_events,
)


def run_fixed(
    currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters, timing: Timing
) -> Tensor:
    """Currents `[B, T, H]` to spikes `[B, T, H]`, from rest; the membranes take the place of the currents in memory."""
    currents = currents.contiguous()
    differentiable = currents.requires_grad or (recurrent_weight is not None and recurrent_weight.requires_grad)
    if torch.is_grad_enabled() and differentiable:
        spikes: Tensor = _Sequence.apply(currents, recurrent_weight, parameters, timing)
        return spikes
    return _run_steps(currents, recurrent_weight, parameters, timing, keep_membranes=False)


def _run_steps(
    currents: Tensor,
    recurrent_weight: Tensor | None,
    parameters: NeuronParameters,
    timing: Timing,
    *,
    keep_membranes: bool,
) -> Tensor:
    """Return the output, and leave the membranes in `currents` (but for its last `delay` steps) where they are kept."""
    n_samples, n_steps, n_neurons = currents.shape
    recurrent = recurrent_weight is not None
    output = torch.empty_like(currents)
    launch = launch_forward(n_neurons, recurrent)
    with on_device_of(currents):
        _forward[launch.grid(n_samples, n_neurons)](
            currents,
            output,
            recurrent_weight.T.contiguous() if recurrent_weight is not None else None,
            event_lists(currents, timing.loop) if recurrent else None,
            n_steps,
            N_NEURONS=n_neurons,
            COLUMNS=launch.columns,
            RECURRENT=recurrent,
            KEEP_MEMBRANES=keep_membranes,
            ALPHA=parameters.alpha,
            BETA=parameters.beta,
            THRESHOLD=parameters.threshold,
            RESET=parameters.reset,
            LOOP=timing.loop,
            DELAY=timing.delay,
            CLEAR_BEFORE_INPUT=timing.clear_before_input,
            ROWS=launch.rows,
            num_warps=launch.n_warps,
            num_stages=1,
            enable_fp_fusion=False,
        )
    return output


class _Sequence(torch.autograd.Function):
    """Currents `[B, T, H]` and recurrent weights to spikes `[B, T, H]`; keeps the membranes for the way back."""

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters, timing: Timing
    ) -> Tensor:
        output = _run_steps(currents, recurrent_weight, parameters, timing, keep_membranes=True)
        ctx.parameters, ctx.timing = parameters, timing
        ctx.save_for_backward(currents, recurrent_weight)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        membranes, recurrent_weight = ctx.saved_tensors
        parameters: NeuronParameters = ctx.parameters
        timing: Timing = ctx.timing
        n_samples, n_steps, n_neurons = membranes.shape
        recurrent = recurrent_weight is not None
        grad_currents = torch.empty_like(membranes)
        launch = launch_backward(n_samples, n_neurons, recurrent)
        with on_device_of(membranes):
            _backward[launch.grid(n_samples, n_neurons)](
                membranes,
                grad_output.contiguous(),
                grad_currents,
                recurrent_weight.contiguous() if recurrent else None,
                n_samples,
                n_steps,
                N_NEURONS=n_neurons,
                SAMPLES=launch.samples,
                COLUMNS=launch.columns,
                RECURRENT=recurrent,
                ALPHA=parameters.alpha,
                BETA=parameters.beta,
                THRESHOLD=parameters.threshold,
                RESET=parameters.reset,
                SURROGATE=parameters.surrogate.name,
                PARAMETER=parameters.surrogate.parameter,
                LOOP=timing.loop,
                DELAY=timing.delay,
                CLEAR_BEFORE_INPUT=timing.clear_before_input,
                ROWS=launch.rows,
                num_warps=launch.n_warps,
                num_stages=1,
                enable_fp_fusion=True,
            )
        grad_weight = None
        if recurrent and ctx.needs_input_grad[1]:
            received = torch.zeros_like(membranes)
            last = n_steps - timing.delay
            if last > timing.loop:
                spiked = membranes[:, : last - timing.loop]
                torch.gt(spiked, parameters.threshold, out=received[:, timing.loop : last])
            grad_weight = weight_gradient(grad_currents, received)
        return grad_currents, grad_weight, None, None


@triton.jit(do_not_specialize=["n_steps"])
def _forward(
    currents_pointer: tl.tensor,
    output_pointer: tl.tensor,
    weight_pointer: tl.tensor,
    lists_pointer: tl.tensor,
    n_steps: tl.tensor,
    N_NEURONS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RECURRENT: tl.constexpr,
    KEEP_MEMBRANES: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
    THRESHOLD: tl.constexpr,
    RESET: tl.constexpr,
    LOOP: tl.constexpr,
    DELAY: tl.constexpr,
    CLEAR_BEFORE_INPUT: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """One sample `[T, H]` of currents becomes membranes and spikes; weights `[H (from), H (to)]`."""
    sample = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = columns < N_NEURONS
    current_pointers = currents_pointer + sample * n_steps * N_NEURONS + columns
    output_pointers = output_pointer + sample * n_steps * N_NEURONS + columns
    if RECURRENT:
        lists_pointer += sample * (LOOP + 1) * (N_NEURONS + 1)

    membrane = tl.zeros([COLUMNS], currents_pointer.dtype.element_ty)
    synapse = membrane
    fired = columns < 0
    for step in range(tl.minimum(DELAY, n_steps)):
        tl.store(output_pointers + step * N_NEURONS, membrane, mask=inside)
    n_steps -= DELAY
    output_pointers += DELAY * N_NEURONS
    upcoming = tl.load(current_pointers, mask=inside, other=0.0)
    for step in range(n_steps):
        current = upcoming
        ahead = tl.minimum(step + 1, n_steps - 1) - step
        upcoming = tl.load(current_pointers + ahead * N_NEURONS, mask=inside, other=0.0)
        synapse = ALPHA * synapse + current
        if RECURRENT:
            # There is one list more than steps in the loop, so that no list is written while others still read it.
            list_pointer = lists_pointer + (step + 1) % (LOOP + 1) * (N_NEURONS + 1)
            n_events = tl.load(list_pointer, mask=step >= LOOP, other=0)
            synapse = add_weights_of_events(synapse, list_pointer, n_events, weight_pointer, columns, N_NEURONS, ROWS)
        membrane = BETA * membrane
        if RESET == "zero" and CLEAR_BEFORE_INPUT:
            membrane = tl.where(fired, 0.0, membrane)
        membrane += synapse
        if RESET == "zero" and not CLEAR_BEFORE_INPUT:
            membrane = tl.where(fired, 0.0, membrane)
        if RESET == "subtract":
            membrane = tl.where(fired, membrane - THRESHOLD, membrane)
        fired = (membrane - THRESHOLD > 0.0) & inside
        if KEEP_MEMBRANES:
            tl.store(current_pointers, membrane, mask=inside)
        tl.store(output_pointers, fired.to(membrane.dtype), mask=inside)
        if RECURRENT:
            write_events(lists_pointer + step % (LOOP + 1) * (N_NEURONS + 1), fired, columns, COLUMNS)
            tl.debug_barrier()
        current_pointers += N_NEURONS
        output_pointers += N_NEURONS


@triton.jit(do_not_specialize=["n_samples", "n_steps"])
def _backward(
    membranes_pointer: tl.tensor,
    grad_output_pointer: tl.tensor,
    grad_currents_pointer: tl.tensor,
    weight_pointer: tl.tensor,
    n_samples: tl.tensor,
    n_steps: tl.tensor,
    N_NEURONS: tl.constexpr,
    SAMPLES: tl.constexpr,
    COLUMNS: tl.constexpr,
    RECURRENT: tl.constexpr,
    ALPHA: tl.constexpr,
    BETA: tl.constexpr,
    THRESHOLD: tl.constexpr,
    RESET: tl.constexpr,
    SURROGATE: tl.constexpr,
    PARAMETER: tl.constexpr,
    LOOP: tl.constexpr,
    DELAY: tl.constexpr,
    CLEAR_BEFORE_INPUT: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """Gradients of the output of some samples become those of their currents; weights `[H (to), H (from)]`."""
    samples = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)[:, None]
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    present = samples < n_samples
    inside = present & (columns < N_NEURONS)
    starts = samples.to(tl.int64) * n_steps * N_NEURONS
    cells = starts + columns

    grad_membrane = tl.zeros([SAMPLES, COLUMNS], membranes_pointer.dtype.element_ty)
    grad_current = grad_membrane
    running = tl.maximum(n_steps - DELAY, 0)
    for step in range(running, n_steps):
        # The last `delay` currents reach no output.
        tl.store(grad_currents_pointer + step * N_NEURONS + cells, grad_membrane, mask=inside)
    last = tl.maximum(running - 1, 0) * N_NEURONS
    membrane = tl.load(membranes_pointer + last + cells, mask=inside, other=0.0)
    for back in range(running):
        step = running - 1 - back
        grad_fired = tl.load(grad_output_pointer + (step + DELAY) * N_NEURONS + cells, mask=inside, other=0.0)
        # Before the first step no neuron has spiked: its membrane is not above the threshold.
        reach = tl.where(step > 0, N_NEURONS, 0)
        earlier = tl.load(
            membranes_pointer + (step - 1) * N_NEURONS + cells, mask=present & (columns < reach), other=float("-inf")
        )
        if RECURRENT:
            grad_fired = add_weighted_rows(
                grad_fired,
                grad_currents_pointer + (step + LOOP) * N_NEURONS + starts,
                present,
                weight_pointer,
                columns,
                back >= LOOP,
                N_NEURONS,
                ROWS,
            )
        grad_membrane = BETA * grad_membrane + grad_fired * surrogate_derivative(
            membrane - THRESHOLD, SURROGATE, PARAMETER
        )
        cleared = grad_membrane
        if RESET == "zero":
            cleared = tl.where(earlier - THRESHOLD > 0.0, 0.0, grad_membrane)
        grad_current *= ALPHA
        if CLEAR_BEFORE_INPUT:
            grad_current += grad_membrane
        else:
            grad_current += cleared
        tl.store(grad_currents_pointer + step * N_NEURONS + cells, grad_current, mask=inside)
        if RECURRENT:
            tl.debug_barrier()
        grad_membrane = cleared
        membrane = earlier
