"""Rasters blended of two of the same class: a new utterance of a word out of two that were recorded."""

from __future__ import annotations

import torch
from torch import Tensor

from avalanche_snn.spikes.augmentation import checked_share, shifted_in_time


def blend_same_class(rasters: Tensor, labels: Tensor, share: float = 0.5) -> Tensor:
    """Replace some rasters of a minibatch by blends of themselves and others of their class in it.

    Whether a sample is replaced is one coin flip. Its partner is the next one of its class, in a random order in which
    the first one follows the last, so that each sample is the partner of exactly one. The partner is shifted in time
    until the centres of mass of the two coincide, to the nearest whole step (what leaves the raster is lost; the steps
    that come in are silent); then a fair coin decides for every cell whose count it gets. A sample that is alone with
    its class stays as it is. After the "blend" of Nowotny, Turner & Knight (2024), "Loss shaping enhances exact
    gradient learning with Eventprop in spiking neural networks".

    Draws come from torch's global random generator.

    Args:
        rasters: `[B, T, C]`, of spikes or spike counts, of any dtype.
        labels: `[B]`, of whole numbers.
        share: the probability with which a sample is replaced, from 0 to 1.

    Returns:
        New rasters `[B, T, C]` of the same dtype, on the same device.

    Raises:
        TypeError: `share` is no number.
        ValueError: it is below 0 or above 1, or the shapes do not fit.
    """
    share = checked_share("share", share)
    if rasters.dim() != 3 or labels.shape != rasters.shape[:1]:
        raise ValueError(
            "Rasters [B, T, C] and labels [B] were wanted, but the shapes "
            f"{list(rasters.shape)} and {list(labels.shape)} came."
        )
    partners = _partners(labels.cpu())
    places = torch.arange(len(partners))
    blended = places[(torch.rand(len(partners)) < share) & (partners != places)]
    centres = _centres(rasters)
    # A silent raster has no centre: nothing is shifted to it, and shifting it would change nothing.
    shifts = (centres[blended] - centres[partners[blended]]).nan_to_num(0.0).round().to(torch.int64)
    shifted = shifted_in_time(rasters[partners[blended].to(rasters.device)], shifts.numpy())
    from_partner = torch.rand(shifted.shape) < 0.5
    result = rasters.clone()
    blended = blended.to(rasters.device)
    result[blended] = torch.where(from_partner.to(rasters.device), shifted, rasters[blended])
    return result


def _partners(labels: Tensor) -> Tensor:
    """Return for each of the samples `[B]` the place of its partner `[B]`; its own where it is alone."""
    mixed = torch.randperm(len(labels))
    by_class, order = labels[mixed].sort(stable=True)
    order = mixed[order]
    _, sizes = torch.unique_consecutive(by_class, return_counts=True)
    following = torch.arange(1, len(labels) + 1)
    ends = sizes.cumsum(0)
    # Past the last one of a class comes the first one of it.
    following[ends - 1] = ends - sizes
    partners = torch.empty_like(order)
    partners[order] = order[following]
    return partners


def _centres(rasters: Tensor) -> Tensor:
    """Return the centre of mass of each raster, in time steps, float64 `[B]`; no number where it is silent."""
    in_steps = rasters.sum(dim=2, dtype=torch.float64).cpu()
    steps = torch.arange(rasters.shape[1], dtype=torch.float64)
    return in_steps @ steps / in_steps.sum(dim=1)
