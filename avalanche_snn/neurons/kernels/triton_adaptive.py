"""Adaptive neurons as Triton programs (equations in `torch_adaptive`); imported on first use only.

The way back needs no adaptation currents. With Q[t] the sum over u >= t + 2 of beta^(u - t - 2) dW[u],

    dbeta = sum over t of dW[t] W[t-1] = sum over t of (a U[t] + b S[t]) Q[t],    Q[t] = dW[t+2] + beta Q[t+1]

since W[t] is the sum over s < t of beta^(t - 1 - s) (a U[s] + b S[s]): the sum over the past runs backwards instead.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from avalanche_snn.neurons.adaptive import AdaptiveParameters
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


def run_adaptive(currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
    """Currents `[B, T, H]` to spikes `[B, T, H]`, from rest; the membranes take the place of the currents in memory."""
    currents = currents.contiguous()
    inputs = [currents, *parameters.per_neuron]
    if recurrent_weight is not None:
        inputs.append(recurrent_weight)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        spikes: Tensor = _AdaptiveSequence.apply(currents, recurrent_weight, *parameters.per_neuron, parameters)
        return spikes
    return _run_steps(currents, recurrent_weight, parameters, keep_membranes=False)


def _run_steps(
    currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters, *, keep_membranes: bool
) -> Tensor:
    """Return the spikes, and leave the membranes in `currents` where they are kept."""
    n_samples, n_steps, n_neurons = currents.shape
    recurrent = recurrent_weight is not None
    output = torch.empty_like(currents)
    launch = launch_forward(n_neurons, recurrent)
    with on_device_of(currents):
        _forward[launch.grid(n_samples, n_neurons)](
            currents,
            output,
            recurrent_weight.T.contiguous() if recurrent_weight is not None else None,
            event_lists(currents, loop=1) if recurrent else None,
            *(tensor.contiguous() for tensor in parameters.per_neuron),
            n_steps,
            N_NEURONS=n_neurons,
            COLUMNS=launch.columns,
            RECURRENT=recurrent,
            KEEP_MEMBRANES=keep_membranes,
            THRESHOLD=parameters.threshold,
            RESET=parameters.reset,
            ROWS=launch.rows,
            num_warps=launch.n_warps,
            num_stages=1,
            enable_fp_fusion=False,
        )
    return output


class _AdaptiveSequence(torch.autograd.Function):
    """Currents `[B, T, H]`, recurrent weights and the four numbers of each neuron to spikes `[B, T, H]`."""

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
        output = _run_steps(currents, recurrent_weight, parameters, keep_membranes=True)
        ctx.constants = parameters.threshold, parameters.reset, parameters.surrogate
        ctx.save_for_backward(currents, recurrent_weight, alpha, beta, a, b)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        membranes, recurrent_weight, *per_neuron = ctx.saved_tensors
        threshold, reset, surrogate = ctx.constants
        n_samples, n_steps, n_neurons = membranes.shape
        recurrent = recurrent_weight is not None
        grad_currents = torch.empty_like(membranes)
        launch = launch_backward(n_samples, n_neurons, recurrent)
        grid = launch.grid(n_samples, n_neurons)
        # A row for each program, summed here and not by atomic additions, so that the order of the sums is fixed.
        sums = membranes.new_empty(grid[0], 4, n_neurons)
        with on_device_of(membranes):
            _backward[grid](
                membranes,
                grad_output.contiguous(),
                grad_currents,
                recurrent_weight.contiguous() if recurrent else None,
                *(tensor.contiguous() for tensor in per_neuron),
                sums,
                n_samples,
                n_steps,
                N_NEURONS=n_neurons,
                SAMPLES=launch.samples,
                COLUMNS=launch.columns,
                RECURRENT=recurrent,
                THRESHOLD=threshold,
                RESET=reset,
                SURROGATE=surrogate.name,
                PARAMETER=surrogate.parameter,
                ROWS=launch.rows,
                num_warps=launch.n_warps,
                num_stages=1,
                enable_fp_fusion=True,
            )
        grad_weight = None
        if recurrent and ctx.needs_input_grad[1]:
            received = torch.zeros_like(membranes)
            torch.gt(membranes[:, :-1], threshold, out=received[:, 1:])
            grad_weight = weight_gradient(grad_currents, received)
        return grad_currents, grad_weight, *sums.sum(0).unbind(0), None


@triton.jit(do_not_specialize=["n_steps"])
def _forward(
    currents_pointer: tl.tensor,
    output_pointer: tl.tensor,
    weight_pointer: tl.tensor,
    lists_pointer: tl.tensor,
    alpha_pointer: tl.tensor,
    beta_pointer: tl.tensor,
    a_pointer: tl.tensor,
    b_pointer: tl.tensor,
    n_steps: tl.tensor,
    N_NEURONS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RECURRENT: tl.constexpr,
    KEEP_MEMBRANES: tl.constexpr,
    THRESHOLD: tl.constexpr,
    RESET: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """One sample `[T, H]` of currents becomes membranes and spikes; weights `[H (from), H (to)]`."""
    sample = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = columns < N_NEURONS
    current_pointers = currents_pointer + sample * n_steps * N_NEURONS + columns
    output_pointers = output_pointer + sample * n_steps * N_NEURONS + columns
    if RECURRENT:
        lists_pointer += sample * 2 * (N_NEURONS + 1)
    alpha = tl.load(alpha_pointer + columns, mask=inside, other=0.0)
    beta = tl.load(beta_pointer + columns, mask=inside, other=0.0)
    a = tl.load(a_pointer + columns, mask=inside, other=0.0)
    b = tl.load(b_pointer + columns, mask=inside, other=0.0)

    membrane = tl.zeros([COLUMNS], currents_pointer.dtype.element_ty)
    adaptation = membrane
    fired = columns < 0
    upcoming = tl.load(current_pointers, mask=inside, other=0.0)
    for step in range(n_steps):
        current = upcoming
        ahead = tl.minimum(step + 1, n_steps - 1) - step
        upcoming = tl.load(current_pointers + ahead * N_NEURONS, mask=inside, other=0.0)
        adaptation = beta * adaptation + a * membrane + tl.where(fired, b, 0.0)
        drive = current - adaptation
        if RECURRENT:
            # Two lists in turn, so that none is written while others still read it.
            list_pointer = lists_pointer + (step + 1) % 2 * (N_NEURONS + 1)
            n_events = tl.load(list_pointer, mask=step > 0, other=0)
            drive = add_weights_of_events(drive, list_pointer, n_events, weight_pointer, columns, N_NEURONS, ROWS)
        if RESET == "zero":
            membrane = tl.where(fired, 0.0, membrane)
        if RESET == "subtract":
            membrane = tl.where(fired, membrane - THRESHOLD, membrane)
        membrane = alpha * membrane + (1.0 - alpha) * drive
        fired = (membrane - THRESHOLD > 0.0) & inside
        if KEEP_MEMBRANES:
            tl.store(current_pointers, membrane, mask=inside)
        tl.store(output_pointers, fired.to(membrane.dtype), mask=inside)
        if RECURRENT:
            write_events(lists_pointer + step % 2 * (N_NEURONS + 1), fired, columns, COLUMNS)
            tl.debug_barrier()
        current_pointers += N_NEURONS
        output_pointers += N_NEURONS


@triton.jit(do_not_specialize=["n_samples", "n_steps"])
def _backward(
    membranes_pointer: tl.tensor,
    grad_output_pointer: tl.tensor,
    grad_currents_pointer: tl.tensor,
    weight_pointer: tl.tensor,
    alpha_pointer: tl.tensor,
    beta_pointer: tl.tensor,
    a_pointer: tl.tensor,
    b_pointer: tl.tensor,
    sums_pointer: tl.tensor,
    n_samples: tl.tensor,
    n_steps: tl.tensor,
    N_NEURONS: tl.constexpr,
    SAMPLES: tl.constexpr,
    COLUMNS: tl.constexpr,
    RECURRENT: tl.constexpr,
    THRESHOLD: tl.constexpr,
    RESET: tl.constexpr,
    SURROGATE: tl.constexpr,
    PARAMETER: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """Gradients of the output of some samples become those of their currents; weights `[H (to), H (from)]`.

    What these samples add to the gradients of alpha, beta, a and b goes into the program's row of `[programs, 4, H]`.
    """
    samples = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)[:, None]
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    present = samples < n_samples
    inside = present & (columns < N_NEURONS)
    starts = samples.to(tl.int64) * n_steps * N_NEURONS
    cells = starts + columns
    alpha = tl.load(alpha_pointer + columns, mask=columns < N_NEURONS, other=0.0)
    beta = tl.load(beta_pointer + columns, mask=columns < N_NEURONS, other=0.0)
    a = tl.load(a_pointer + columns, mask=columns < N_NEURONS, other=0.0)
    b = tl.load(b_pointer + columns, mask=columns < N_NEURONS, other=0.0)

    # At the start of a step t: dU[t+1], dW[t+1] and Q[t].
    grad_membrane = tl.zeros([SAMPLES, COLUMNS], membranes_pointer.dtype.element_ty)
    grad_adaptation = grad_membrane
    carried = grad_membrane
    sum_alpha = grad_membrane
    sum_beta = grad_membrane
    sum_a = grad_membrane
    sum_b = grad_membrane
    upcoming = tl.load(membranes_pointer + (n_steps - 1) * N_NEURONS + cells, mask=inside, other=0.0)
    for back in range(n_steps):
        step = n_steps - 1 - back
        membrane = upcoming
        ahead = tl.maximum(step - 1, 0) * N_NEURONS
        upcoming = tl.load(membranes_pointer + ahead + cells, mask=inside, other=0.0)
        grad_fired = tl.load(grad_output_pointer + step * N_NEURONS + cells, mask=inside, other=0.0)
        if RECURRENT:
            grad_fired = add_weighted_rows(
                grad_fired,
                grad_currents_pointer + (step + 1) * N_NEURONS + starts,
                present,
                weight_pointer,
                columns,
                back > 0,
                N_NEURONS,
                ROWS,
            )
        fired = membrane - THRESHOLD > 0.0
        kept = membrane
        grad_kept = alpha * grad_membrane
        grad_fired += b * grad_adaptation
        grad_before = grad_kept + a * grad_adaptation
        if RESET == "subtract":
            kept = tl.where(fired, membrane - THRESHOLD, membrane)
            grad_fired -= THRESHOLD * grad_kept
        if RESET == "zero":
            kept = tl.where(fired, 0.0, membrane)
            grad_fired -= membrane * grad_kept
            grad_before = tl.where(fired, 0.0, grad_kept) + a * grad_adaptation
        sum_alpha += grad_membrane * kept
        sum_beta += carried * (a * membrane + tl.where(fired, b, 0.0))
        sum_a += grad_adaptation * membrane
        sum_b += tl.where(fired, grad_adaptation, 0.0)
        carried = grad_adaptation + beta * carried
        grad_membrane = grad_before + grad_fired * surrogate_derivative(membrane - THRESHOLD, SURROGATE, PARAMETER)
        grad_adaptation = beta * grad_adaptation - (1.0 - alpha) * grad_membrane
        sum_alpha -= grad_membrane * membrane
        grad_current = (1.0 - alpha) * grad_membrane
        tl.store(grad_currents_pointer + step * N_NEURONS + cells, grad_current, mask=inside)
        if RECURRENT:
            tl.debug_barrier()

    # Samples and neurons that there are not have gradients of zero throughout.
    targets = sums_pointer + tl.program_id(0) * 4 * N_NEURONS + columns
    tl.store(targets, (tl.sum(sum_alpha, 0, keep_dims=True) / (1.0 - alpha)), mask=columns < N_NEURONS)
    tl.store(targets + N_NEURONS, tl.sum(sum_beta, 0, keep_dims=True), mask=columns < N_NEURONS)
    tl.store(targets + 2 * N_NEURONS, tl.sum(sum_a, 0, keep_dims=True), mask=columns < N_NEURONS)
    tl.store(targets + 3 * N_NEURONS, tl.sum(sum_b, 0, keep_dims=True), mask=columns < N_NEURONS)
