"""Synaptic operations of one layer, by NeuroBench's definition (arXiv 2304.04640, "synaptic operations").

An operation is one input taken through one weight in one time step. It is *effective* where neither of them is zero:
the number of inputs that are not zero times their fan-out, weights of zero left out. It is an accumulate (AC) where
inputs are spikes, that is -1, 0 or 1, and a multiply-accumulate (MAC) where they are anything else, like spike counts.
*Dense* operations are all of them, zeros included: what hardware without sparsity carries out. Biases, decays,
thresholds and the integration of a readout are no synaptic operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avalanche_snn.models import LeakyReadout
from avalanche_snn.neurons import SpikingLayer

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LARGEST_BYTE = 255
_KNOWN = (SpikingLayer, LeakyReadout, nn.Linear, *_CONVOLUTIONS)


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of one connection in one call, summed over the samples.

    Attributes:
        acs: effective accumulates, of samples whose inputs are all -1, 0 or 1.
        macs: effective multiply-accumulates, of all other samples. NeuroBench decides so for whatever one call of a
            layer takes in; here each sample is decided on its own, so that figures do not depend on the minibatches.
        dense: all operations, zeros included.
    """

    acs: int
    macs: int
    dense: int


def has_known_connections(module: nn.Module) -> bool:
    """Whether `operations_of` can count this module: a spiking layer, a leaky readout, a linear map, a convolution."""
    return isinstance(module, _KNOWN)


def has_unknown_connections(module: nn.Module) -> bool:
    """Whether the module holds a matrix of weights of its own and `operations_of` cannot count it."""
    return not has_known_connections(module) and any(p.dim() > 1 for p in module.parameters(recurse=False))


def operations_of(layer: nn.Module, inputs: Tensor) -> Operations:
    """Count the operations between the inputs of a layer and the layer, in one call of it.

    Args:
        layer: one that `has_known_connections`: input projection, readout, linear map or convolution.
        inputs: what it took in, `[B, ..., C]` (a convolution: `[B, C, ...]`), any real dtype.

    Raises:
        ValueError: a layer of a kind that is not known.
    """
    if isinstance(layer, _CONVOLUTIONS):
        return _of_a_convolution(layer, inputs)
    if not isinstance(layer, (SpikingLayer, LeakyReadout, nn.Linear)):
        raise ValueError(
            f"Synaptic operations: wanted a spiking layer, leaky readout, linear map or convolution, "
            f"came {type(layer).__name__}."
        )
    rows = inputs.flatten(1, -2) if inputs.dim() > 2 else inputs.unsqueeze(1)
    times = count_nonzeros(rows)
    effective = (times * torch.count_nonzero(layer.weight, dim=0)).sum(dim=1)
    return _sort(effective, _are_spikes(rows, times), rows.shape[0] * rows.shape[1] * layer.weight.numel())


def recurrent_operations_of(layer: SpikingLayer, spikes: Tensor, n_time_steps: int) -> Operations | None:
    """Count the operations within a recurrent layer, in one call of it.

    Args:
        layer: the layer.
        spikes: `[B, H]`, how often each neuron spiked before the last time step. The spikes of step t come back in step
            t + 1, whatever the neuron, so those of the last one cause no operation.
        n_time_steps: T, the last one included; dense are `H * H` operations in each of them.

    Returns:
        None for a layer without recurrence.
    """
    # Not the parameter: an adaptive layer leaves out the connections of neurons to themselves.
    weight = layer._recurrent_weight()
    if weight is None:
        return None
    acs = int((spikes * torch.count_nonzero(weight, dim=0)).sum())
    return Operations(acs=acs, macs=0, dense=len(spikes) * n_time_steps * weight.numel())


def count_nonzeros(values: Tensor) -> Tensor:
    """Count the values `[B, R, C]` that are not zero: int64 `[B, C]`.

    Two quick passes, where `torch.count_nonzero` would cost more than the network that is counted.
    """
    cells = torch.split(values.bool().view(torch.uint8), _LARGEST_BYTE, dim=1)
    return torch.stack([part.sum(dim=1, dtype=torch.uint8).long() for part in cells]).sum(dim=0)


def _of_a_convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, inputs: Tensor) -> Operations:
    """Count by the convolution itself, of ones in the places of what is not zero."""
    # Whole numbers, in a type that holds them and their sums.
    passes, connected = (inputs != 0).double(), (layer.weight != 0).double()
    effective = layer._conv_forward(passes, connected, None).flatten(1).sum(dim=1)
    dense = layer._conv_forward(torch.ones_like(passes), torch.ones_like(connected), None).sum()
    rows = inputs.flatten(1).unsqueeze(1)
    return _sort(effective, _are_spikes(rows, count_nonzeros(rows)), int(dense))


def _are_spikes(rows: Tensor, times: Tensor) -> Tensor:
    """Tell which samples of `[B, R, C]`, not zero so many `times` `[B, C]`, are made of -1, 0 and 1 alone: `[B]`."""
    values = rows.flatten(1)
    small = values.amax(dim=1) <= 1
    if values.dtype in (torch.bool, torch.uint8):
        return small
    small &= values.amin(dim=1) >= -1
    if not values.is_floating_point():
        return small
    # Of numbers from -1 to 1, an integer loses the fractions.
    return small & (count_nonzeros(rows.to(torch.int8)) == times).all(dim=1)


def _sort(effective: Tensor, spikes: Tensor, dense: int) -> Operations:
    """Sort the effective operations `[B]` of samples into those on spikes and those on anything else."""
    acs = int(effective[spikes].sum())
    return Operations(acs=acs, macs=int(effective.sum()) - acs, dense=dense)
