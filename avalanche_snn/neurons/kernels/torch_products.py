"""Products of matrices for the `torch` kernel, by the library that is faster here.

torch hands dense products in float32 to MKL, which on CPUs of other makers reaches less than half of what oneDNN does
there (12 800 x 200 x 200 on an AMD core with AVX-512: 11.5 against 5.5 ms). torch carries oneDNN too, behind an
operation that its own compiler emits and that has no public name: where it is missing or fails, products are torch's.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from avalanche_snn.neurons.kernels.torch_events import events_pay, list_events, weight_gradient

#: Multiplications below which the longer way to oneDNN costs more than it saves.
_MIN_MULTIPLICATIONS = 2**22
#: A block of steps small enough that what is computed of it stays near the core.
_BLOCK_CELLS = 2**17


def product(rows: Tensor, weight: Tensor) -> Tensor:
    """`[R, C]` times the transpose of a weight `[H, C]`: `[R, H]`, without a gradient. Both may have any strides."""
    is_large = rows.shape[0] * weight.numel() >= _MIN_MULTIPLICATIONS
    if is_large and rows.dtype == weight.dtype == torch.float32 and rows.device.type == "cpu" and _has_onednn():
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
        return found
    return rows @ weight.T


@cache
def _has_onednn() -> bool:
    try:
        ones = torch.ones(2, 3)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(ones, ones, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((found == 3).all())


def blocks(n_steps: int, n_cells: int) -> list[tuple[int, int]]:
    """First and one past the last of each block of steps of `n_cells` cells each, in their order."""
    length = max(1, _BLOCK_CELLS // max(1, n_cells))
    return [(start, min(start + length, n_steps)) for start in range(0, n_steps, length)]


def recurrent_weight_gradient(grad_currents: Tensor, membranes: Tensor, threshold: float, loop: int) -> Tensor:
    """Sum over time of `dI[t + loop]^T S[t]`, S the spikes of membranes above the threshold: `[H, H]`.

    Args:
        grad_currents: dI, `[T, B, H]`.
        membranes: `[T, B, H]`.
        threshold: of the spikes.
        loop: steps that a spike takes, at least 1.
    """
    n_neurons = membranes.shape[2]
    if loop >= len(membranes):
        return membranes.new_zeros(n_neurons, n_neurons)
    grads = grad_currents[loop:].reshape(-1, n_neurons)
    fired = membranes[:-loop] > threshold
    if events_pay(fired, grads.T):
        events = list_events(fired)
        if events is not None:
            return weight_gradient(events, grads)
    total = membranes.new_zeros(n_neurons, n_neurons)
    n_rows = fired[0].numel() // n_neurons
    for start, end in blocks(len(fired), fired[0].numel()):
        rows = fired[start:end].to(membranes.dtype).reshape(-1, n_neurons)
        total += product(grads[start * n_rows : end * n_rows].T, rows.T)
    return total
