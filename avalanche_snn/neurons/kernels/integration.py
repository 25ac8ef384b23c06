"""Leaky integrators that do not spike, as one matrix product: they are linear."""

from __future__ import annotations

import torch
from torch import Tensor

REDUCTIONS = ("max", "mean")


def leaky_membranes(currents: Tensor, alpha: float, beta: float) -> Tensor:
    """Input currents to the membranes after each step, from rest: J' = alpha J + I;  U' = beta U + J (the old J).

    Args:
        currents: I, `[T, B, K]`.
        alpha: decay of the synaptic current J in one step.
        beta: decay of the membrane U in one step.

    Returns:
        U after each of the T steps, `[T, B, K]`.
    """
    n_steps = currents.shape[0]
    response = currents.new_tensor(impulse_response(alpha, beta, n_steps))
    steps = torch.arange(n_steps, device=currents.device)
    since_input = (steps[:, None] - steps[None, :]).clamp_min(0)  # response[0] is 0: nothing before, or at once
    return torch.einsum("nt,tbk->nbk", response[since_input], currents)


def integrate(currents: Tensor, alpha: float, beta: float, reduce: str) -> Tensor:
    """Input currents `[B, T, K]` to the largest membrane, rest included, or the mean membrane over time: `[B, K]`."""
    membranes = leaky_membranes(currents.transpose(0, 1), alpha, beta)
    if reduce == "mean":
        return membranes.mean(dim=0)
    at_rest = torch.zeros_like(membranes[:1])
    return torch.cat((at_rest, membranes)).max(dim=0).values


def impulse_response(alpha: float, beta: float, n_steps: int) -> list[float]:
    """Membrane 0, 1, ... `n_steps` - 1 steps after the step of an input of 1: 0, 1, alpha + beta, ...

    Values below 1e-30 count as 0: they would become subnormal numbers, which are slow and change nothing.
    """
    response, synapse, membrane = [], 1.0, 0.0
    for _ in range(n_steps):
        response.append(membrane if membrane > 1e-30 else 0.0)
        synapse, membrane = alpha * synapse, beta * membrane + synapse
    return response
