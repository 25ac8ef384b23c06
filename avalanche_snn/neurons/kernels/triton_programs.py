"""What the Triton programs of all neurons have in common; imports Triton, so it is imported on first use only.

Why the programs look as they do. The steps of time follow one another, so the time of a layer is the latency of a step
times T; what there is to gain is a short step and no launches in between. Hence one program walks a sample through all
time steps, with its state in registers, and the samples of a batch fill the multiprocessors: 256 samples are two
programs for each of an H200's 132. A matrix unit wants at least 16 samples a program, which would leave seven in eight
multiprocessors idle; splitting the neurons of a sample over programs needs a barrier of the whole grid in every step,
which takes longer than the step, and never ends where not all programs run at once. So there is no `tl.dot` here:

- Forward, V S[t - loop] is the sum of the columns of V whose neurons spiked, at 5 to 10 % of them a tenth of the dense
  product. A program lists its spikes in a piece of memory of its own and reads the list back in a later step.
- Backward, V^T dI[t + loop] is dense: each thread multiplies a few columns of some rows of V, for each of the program's
  samples, and the partial sums are added up once a step. V is read once a step and program, from the first-level cache
  where it fits (H <= 200 in float32), else from the second.

Both are plain multiply-adds in the dtype of the weights: V is never rounded to the 10 bits of TF32, which would shift
membranes by 1e-3 and so move spikes. Sums have a fixed order: same input, same bits. Forward, no multiply-add is fused
(`enable_fp_fusion=False`), so that every rounding is one that the reference makes too. Membranes are compared with the
threshold by their difference from it: before 3.9, Triton rounds numbers that a tensor is compared with to float32.

What one thread of a program writes to global memory, another reads: spike lists and dI. Between the two stands
`tl.debug_barrier()`, which orders the memory accesses of all threads of a program, global memory included; no program
reads what another writes. Loops must not be software-pipelined (`num_stages=1`): that would move loads ahead of the
stores that they depend on.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Rows of V that a program reads at once: forward each for one spike, backward each for one neuron.
_MAX_ROWS_FORWARD = 8
_MAX_ROWS_BACKWARD = 16
#: Neurons of a program that has no recurrent weights.
_COLUMNS_ALONE = 128
#: The way back has this many programs in mind: about as many as there are multiprocessors (132 on an H200).
_PROGRAMS = 128
_MAX_SAMPLES = 2
#: Partial sums of the product with V that a thread has registers for.
_SUMS_PER_THREAD = 64


class Launch(NamedTuple):
    """How work is cut into programs. All sizes are powers of two.

    Attributes:
        samples: samples of a program.
        columns: neurons of a program; all neurons of the layer, and more, where there are recurrent weights.
        rows: rows of the recurrent weights that a program reads at once.
        n_warps: warps (of 32 threads) of a program.
    """

    samples: int
    columns: int
    rows: int
    n_warps: int

    def grid(self, n_samples: int, n_neurons: int) -> tuple[int, int]:
        """Programs by samples and by neurons."""
        return -(-n_samples // self.samples), -(-n_neurons // self.columns)


def launch_forward(n_neurons: int, recurrent: bool) -> Launch:
    """One sample a program, one neuron a thread: then Triton need not move spikes between threads to list them."""
    columns = triton.next_power_of_2(n_neurons)
    if not recurrent:
        columns = min(columns, _COLUMNS_ALONE)
    return Launch(samples=1, columns=columns, rows=_MAX_ROWS_FORWARD, n_warps=min(max(1, columns // 32), 32))


def launch_backward(n_samples: int, n_neurons: int, recurrent: bool) -> Launch:
    """Four neurons a thread, which are 16 bytes of a row of V; where warps are left, each takes some of the rows."""
    if not recurrent:
        return launch_forward(n_neurons, recurrent)
    samples = min(triton.next_power_of_2(max(1, n_samples // _PROGRAMS)), _MAX_SAMPLES)
    columns = triton.next_power_of_2(n_neurons)
    n_warps = min(max(4, min(columns // 32, 8), columns // 128), 32)
    rows = min(_MAX_ROWS_BACKWARD, max(1, _SUMS_PER_THREAD * 32 * n_warps // (samples * columns)))
    return Launch(samples, columns, rows, n_warps)


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device; its interpreter takes tensors of the CPU."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def event_lists(currents: Tensor, loop: int) -> Tensor:
    """Memory for the spikes of `loop` + 1 steps: int32 `[B, loop + 1, 1 + H]`, a count and that many neurons."""
    n_samples, _, n_neurons = currents.shape
    return torch.empty(n_samples, loop + 1, 1 + n_neurons, dtype=torch.int32, device=currents.device)


def weight_gradient(grad_currents: Tensor, spikes: Tensor) -> Tensor:
    """dV, the sum over samples and steps of dI[t] S[t - loop]^T, of two `[B, T, H]`: one matrix product."""
    return grad_currents.flatten(0, 1).T @ spikes.flatten(0, 1)


@triton.jit
def write_events(list_pointer: tl.tensor, fired: tl.tensor, columns: tl.tensor, COLUMNS: tl.constexpr) -> None:
    """Write how many neurons fired, and which, in rising order."""
    rank = tl.cumsum(fired.to(tl.int32), 0)
    tl.store(list_pointer + rank, columns, mask=fired)
    tl.store(list_pointer + tl.zeros_like(columns), rank, mask=columns == COLUMNS - 1)


@triton.jit
def add_weights_of_events(
    total: tl.tensor,
    list_pointer: tl.tensor,
    n_events: tl.tensor,
    weight_pointer: tl.tensor,
    columns: tl.tensor,
    N_NEURONS: tl.constexpr,
    ROWS: tl.constexpr,
) -> tl.tensor:
    """Add to `total` the rows of `[H (from), H (to)]` of the first `n_events` neurons of a list."""
    for first in range(0, n_events, ROWS):
        for offset in tl.static_range(ROWS):
            event = first + offset
            source = tl.load(list_pointer + 1 + event, mask=event < n_events, other=0)
            reach = tl.where(event < n_events, N_NEURONS, 0)
            total += tl.load(weight_pointer + source * N_NEURONS + columns, mask=columns < reach, other=0.0)
    return total


@triton.jit
def add_weighted_rows(
    total: tl.tensor,
    grad_pointers: tl.tensor,
    present: tl.tensor,
    weight_pointer: tl.tensor,
    columns: tl.tensor,
    received: tl.tensor,
    N_NEURONS: tl.constexpr,
    ROWS: tl.constexpr,
) -> tl.tensor:
    """Add to `total` `[samples, columns]` the product of gradients and `[H (to), H (from)]`, some rows at once.

    `grad_pointers` `[samples, 1]` point to the first neuron of each sample; `present` tells which samples there are,
    `received` whether their spikes reached anyone.
    """
    sums = tl.zeros([total.shape[0], ROWS, total.shape[1]], total.dtype)
    for first in range(0, tl.where(received, N_NEURONS, 0), ROWS):
        targets = (first + tl.arange(0, ROWS))[None, :, None]
        exists = targets < N_NEURONS
        grads = tl.load(grad_pointers[:, :, None] + targets, mask=present[:, :, None] & exists, other=0.0)
        rows = tl.load(
            weight_pointer + targets * N_NEURONS + columns[:, None, :],
            mask=exists & (columns[:, None, :] < N_NEURONS),
            other=0.0,
        )
        sums += grads * rows
    return total + tl.sum(sums, 1)


@triton.jit
def surrogate_derivative(x: tl.tensor, SURROGATE: tl.constexpr, PARAMETER: tl.constexpr) -> tl.tensor:
    """The table of `surrogates`."""
    if SURROGATE == "fast_sigmoid":
        scaled = PARAMETER * tl.abs(x) + 1.0
        derivative = 1.0 / (scaled * scaled)
    elif SURROGATE == "sigmoid":
        derivative = PARAMETER * tl.sigmoid(PARAMETER * x) * tl.sigmoid(-PARAMETER * x)
    elif SURROGATE == "atan":
        scaled = (1.5707963267948966 * PARAMETER) * x
        derivative = (PARAMETER / 2.0) / (1.0 + scaled * scaled)
    elif SURROGATE == "triangular":
        derivative = tl.maximum(1.0 - tl.abs(x) / PARAMETER, 0.0)
    else:
        tl.static_assert(SURROGATE == "box")
        derivative = tl.where(tl.abs(x) - PARAMETER / 2.0 <= 0.0, 1.0, 0.0)
    return derivative.to(x.dtype)
