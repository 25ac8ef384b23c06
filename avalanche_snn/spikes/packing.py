"""Spike trains packed eight features a byte, as tensors that a batch can carry and a network can recognise."""

from __future__ import annotations

import torch
from torch import Tensor

_BITS_PER_BYTE = 8
# A float32 holds every integer below 2**24, so that is as far as a round trip through it can be exact.
_MAX_PLANES = 24


def planes_for(max_count: int) -> int:
    """Return how many bit planes hold every integer from 0 to `max_count`.

    Raises:
        ValueError: `max_count` is below 1, or 2**24 or more.
    """
    if not 1 <= max_count < 2**_MAX_PLANES:
        raise ValueError(f"A largest count must lie between 1 and 2**{_MAX_PLANES} - 1, but {max_count} came.")
    return int(max_count).bit_length()


def pack(latents: Tensor, n_planes: int = 1) -> Tensor:
    """Pack integer-valued latents into bits: plane p of the result holds bit p of every value.

    Args:
        latents: `[..., T, H]`, of any float, integer or bool dtype, with integer values 0 <= v < 2**n_planes.
        n_planes: bits a value, 1 for spikes (see `planes_for`).

    Returns:
        uint8 `[..., T, ceil(H/8), n_planes]` on the same device. Eight neighbouring features share a byte, the first
        in its most significant bit; the last byte is filled up with zero bits.

    Raises:
        ValueError: fewer than two dimensions, `n_planes` outside 1..24, or a value that is negative, not an integer,
            or 2**n_planes or more.
    """
    if latents.dim() < 2:
        raise ValueError(f"pack wants latents [..., T, H], but a tensor of shape {list(latents.shape)} came.")
    if not 1 <= n_planes <= _MAX_PLANES:
        raise ValueError(f"n_planes must lie between 1 and {_MAX_PLANES}, but {n_planes} came.")
    values = whole_numbers(latents, 2**n_planes - 1, f"Pack with more planes than n_planes={n_planes}.")
    n_features = latents.shape[-1]
    n_bytes = -(-n_features // _BITS_PER_BYTE)
    values = torch.nn.functional.pad(values, (0, n_bytes * _BITS_PER_BYTE - n_features))
    values = values.reshape(*values.shape[:-1], n_bytes, _BITS_PER_BYTE)
    # A product with powers of two is exact in every float and far quicker than shifting bit by bit.
    place_values = 2.0 ** torch.arange(_BITS_PER_BYTE - 1, -1, -1, device=values.device)
    planes = [((values >> plane) & 1).to(place_values.dtype) @ place_values for plane in range(n_planes)]
    return torch.stack(planes, dim=-1).to(torch.uint8)


def unpack(packed: Tensor, n_features: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Restore what `pack` packed.

    Args:
        packed: uint8 `[..., T, ceil(H/8), P]`.
        n_features: H, the number of features before packing.
        dtype: of the result.

    Returns:
        `[..., T, H]` of `dtype`, on the same device.

    Raises:
        ValueError: another dtype or shape than that of `n_features` packed features, or a `dtype` too narrow for
            `P` bits.
    """
    n_bytes = -(-n_features // _BITS_PER_BYTE)
    if packed.dtype != torch.uint8 or packed.dim() < 3 or packed.shape[-2] != n_bytes or packed.shape[-1] < 1:
        raise ValueError(
            f"unpack wants uint8 [..., T, {n_bytes}, P] for {n_features} features, "
            f"but {packed.dtype} {list(packed.shape)} came."
        )
    require_room_in(dtype, packed.shape[-1])
    table = _eight_bits_of_each_byte(packed.device)
    # Eight planes make one uint8; only counts above 255 have more.
    groups = torch.split(packed, _BITS_PER_BYTE, dim=-1)
    values = _octets(groups[0], table)[..., :n_features].to(dtype)
    for index, group in enumerate(groups[1:], start=1):
        values = values + _octets(group, table)[..., :n_features].to(dtype) * 2 ** (index * _BITS_PER_BYTE)
    return values


def is_packed_batch(batch: Tensor) -> bool:
    """Tell a batch of packed latents (uint8 `[B, T, ceil(H/8), P]`) from a batch of rasters (`[B, T, C]`)."""
    return batch.dtype == torch.uint8 and batch.dim() == 4


def require_room_in(dtype: torch.dtype, n_planes: int) -> None:
    """Raise ValueError when a dtype cannot hold every value of so many bit planes."""
    if 2**n_planes - 1 > _largest_exact(dtype):
        raise ValueError(f"{n_planes} bit planes hold values up to {2**n_planes - 1}, more than {dtype} can.")


def whole_numbers(latents: Tensor, largest: int = 2**_MAX_PLANES - 1, remedy: str = "") -> Tensor:
    """Return the latents as uint8 or int32, having checked that they are integers from 0 to `largest`.

    Args:
        latents: any shape, any float, integer or bool dtype.
        largest: the largest value allowed, at most 2**24 - 1.
        remedy: a sentence for the user whose values are too large.

    Raises:
        ValueError: a value that is negative, not an integer (NaN too), or above `largest`; it is named.
    """
    latents = latents.detach()
    if latents.dtype == torch.bool:
        return latents.to(torch.uint8)
    if latents.is_complex():
        raise ValueError(f"Latents must be real numbers, but {latents.dtype} came.")
    if latents.numel() == 0:
        return latents.to(torch.uint8)
    lowest, highest = (extreme.item() for extreme in torch.aminmax(latents))
    if lowest < 0:
        raise ValueError(f"Latents must not be negative, but {lowest:g} came: codes hold spikes and spike counts.")
    if highest > largest:
        raise ValueError(f"Latents up to {largest} were wanted, but {highest:.8g} came. {remedy}".rstrip())
    values = latents.to(torch.uint8 if largest <= 255 else torch.int32)
    restored = values.to(latents.dtype)
    if not torch.equal(restored, latents):
        broken = latents[restored != latents][0].item()
        raise ValueError(f"Latents must be whole numbers, but {broken:g} came: codes hold spikes and spike counts.")
    return values


def _eight_bits_of_each_byte(device: torch.device) -> Tensor:
    """Return int64 `[256]`: the memory of entry b holds the eight bits of b, one a byte, first bit first."""
    codes = torch.arange(256, device=device, dtype=torch.int32).to(torch.uint8)
    shifts = torch.arange(_BITS_PER_BYTE - 1, -1, -1, device=device, dtype=torch.int32).to(torch.uint8)
    return ((codes.unsqueeze(1) >> shifts) & 1).contiguous().view(torch.int64).squeeze(1)


def _octets(packed: Tensor, table: Tensor) -> Tensor:
    """Turn uint8 `[..., G, P <= 8]` into uint8 `[..., 8G]`, moving eight features with every 64-bit word."""
    # index_select takes int32 indices, which cost half of what int64 ones do.
    planes = [table.index_select(0, plane.reshape(-1).to(torch.int32)) for plane in packed.unbind(-1)]
    words = planes[0]
    for index, plane in enumerate(planes[1:], start=1):
        words = words | (plane << index)
    return words.view(torch.uint8).reshape(*packed.shape[:-2], packed.shape[-2] * _BITS_PER_BYTE)


def _largest_exact(dtype: torch.dtype) -> int:
    """Return the largest n such that `dtype` holds every integer from 0 to n."""
    if dtype == torch.bool:
        return 1
    if dtype.is_floating_point:
        return round(2 / torch.finfo(dtype).eps)
    return int(torch.iinfo(dtype).max)
