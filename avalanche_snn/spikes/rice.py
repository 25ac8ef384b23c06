"""Golomb-Rice coding of the gaps between spikes, for a whole batch of binary rasters at once.

A row is a header byte and then a bit stream. Header 0: the stream is the raster itself, one bit a cell, time-major.
Header 1 + 2 * k + order: the raster is read time-major (order 0) or feature-major (order 1), and every spike is
written as the number g of silent cells since the spike before it: g >> k zeros, a one, and the k lowest bits of g,
the highest first (Golomb, "Run-length encodings", 1966; Rice and Plaunt, 1971, for divisors that are powers of two).

A spike ends its run of zeros with a one, so zero bytes on the right of a row add no spike: rows need neither their
length nor their number of spikes, and lose nothing when zero bytes on their right are stripped.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Integers: TypeAlias = npt.NDArray[np.int64]

_HEADER_BITS = 8
# Ordinals decoded between two looks at whether any row has spikes left.
_STRIDE = 32


def max_row_bytes(n_cells: int) -> int:
    """Return the most bytes that a raster of `n_cells` cells can take: its bits and the header."""
    return -(-n_cells // 8) + 1


def encode_rasters(rasters: Bytes) -> Bytes:
    """Code each raster in the shortest of all its codes: of equals, the raster itself, then time-major, then lowest k.

    Args:
        rasters: uint8 `[B, T, H]` of zeros and ones.

    Returns:
        uint8 `[B, N]`, zero padded on the right, N <= max_row_bytes(T * H).
    """
    n_rows, n_time_steps, n_features = rasters.shape
    n_cells = n_time_steps * n_features
    # [order, B, T * H]
    readings = np.stack([rasters.reshape(n_rows, n_cells), rasters.transpose(0, 2, 1).reshape(n_rows, n_cells)])
    n_parameters = max(1, n_cells.bit_length())
    # [B, order * n_parameters + k]; the first of the smallest is taken.
    sizes = np.concatenate([_code_sizes(reading, n_parameters) for reading in readings], axis=1)
    best = sizes.argmin(axis=1)
    n_code_bytes = -(-np.take_along_axis(sizes, best[:, None], axis=1)[:, 0] // 8)
    raw = n_code_bytes >= -(-n_cells // 8)
    order, k = np.divmod(best, n_parameters)

    packed = np.zeros((n_rows, max_row_bytes(n_cells)), dtype=np.uint8)
    packed[raw, 1:] = np.packbits(readings[0, raw], axis=1)
    coded = np.flatnonzero(~raw)
    if coded.size:
        packed[coded, 0] = 1 + 2 * k[coded] + order[coded]
        code = np.packbits(_code_bits(readings[order[coded], coded], k[coded]), axis=1)
        packed[coded, 1 : 1 + code.shape[1]] = code
    return packed[:, : kept_bytes(packed).max(initial=1)]


def decode_rasters(packed: Bytes, n_time_steps: int, n_features: int) -> Bytes:
    """Restore what `encode_rasters` coded.

    Args:
        packed: uint8 `[B, N]`, each row with any number of zero bytes on its right.
        n_time_steps: T.
        n_features: H.

    Returns:
        uint8 `[B, T, H]`.

    Raises:
        ValueError: rows that no raster of this shape is coded as.
    """
    n_rows, n_cells = len(packed), n_time_steps * n_features
    if packed.shape[1] > max_row_bytes(n_cells) and packed[:, max_row_bytes(n_cells) :].any():
        raise _not_a_code(n_time_steps, n_features)
    header = packed[:, 0].astype(np.int64)
    k, order = np.divmod(header - 1, 2)
    if k.max(initial=0) >= max(1, n_cells.bit_length()):
        raise _not_a_code(n_time_steps, n_features)

    readings = np.zeros((n_rows, n_cells), dtype=np.uint8)
    raw = header == 0
    if raw.any():
        readings[raw] = np.unpackbits(_widened(packed[raw, 1:], -(-n_cells // 8)), axis=1, count=n_cells)
    coded = np.flatnonzero(~raw)
    if coded.size:
        rows, cells = _decode_spikes(packed[coded, 1:], k[coded])
        if cells.max(initial=0) >= n_cells:
            raise _not_a_code(n_time_steps, n_features)
        readings[coded[rows], cells] = 1
    rasters = readings.reshape(n_rows, n_time_steps, n_features)
    feature_major = np.flatnonzero(~raw & (order == 1))
    if feature_major.size:
        turned = readings[feature_major].reshape(-1, n_features, n_time_steps).transpose(0, 2, 1)
        rasters[feature_major] = turned
    return rasters


def kept_bytes(packed: Bytes) -> Integers:
    """Return int64 `[B]`: the bytes of each row up to its last one that is not zero, the header always among them."""
    filled = packed[:, ::-1] != 0
    n_stripped = np.where(filled.any(axis=1), filled.argmax(axis=1), packed.shape[1])
    kept: Integers = np.maximum(packed.shape[1] - n_stripped, 1).astype(np.int64)
    return kept


def _gaps(reading: Bytes) -> tuple[Integers, Integers]:
    """Return the row of every spike of `[B, T * H]` and the silent cells between it and the one before."""
    rows, cells = np.nonzero(reading)
    gaps = np.diff(cells, prepend=-1) - 1
    first = np.diff(rows, prepend=-1) != 0
    gaps[first] = cells[first]
    return rows, gaps


def _code_sizes(reading: Bytes, n_parameters: int) -> Integers:
    """Return int64 `[B, n_parameters]`: the bits that each raster takes with k = 0, 1, ..."""
    rows, gaps = _gaps(reading)
    sizes = [
        np.bincount(rows, weights=(gaps >> k) + (1 + k), minlength=len(reading)).astype(np.int64)
        for k in range(n_parameters)
    ]
    return np.stack(sizes, axis=1)


def _code_bits(reading: Bytes, k: Integers) -> Bytes:
    """Return the code of every row of `[B, T * H]` in zeros and ones, uint8 `[B, bits of the longest]`."""
    rows, gaps = _gaps(reading)
    k_of_spike = k[rows]
    lengths = (gaps >> k_of_spike) + 1 + k_of_spike
    ends = np.cumsum(lengths)
    row_bits = np.bincount(rows, weights=lengths, minlength=len(reading)).astype(np.int64)
    row_starts = np.cumsum(row_bits) - row_bits
    # The place of the one that ends a spike's zeros, within its row.
    ones = ends - row_starts[rows] - k_of_spike - 1
    bits = np.zeros((len(reading), int(row_bits.max(initial=0))), dtype=np.uint8)
    bits[rows, ones] = 1
    for place in range(int(k.max(initial=0))):
        has = place < k_of_spike
        shift = k_of_spike[has] - 1 - place
        bits[rows[has], ones[has] + 1 + place] = (gaps[has] >> shift) & 1
    return bits


def _decode_spikes(code: Bytes, k: Integers) -> tuple[Integers, Integers]:
    """Return the row and the cell of every spike that the bit streams uint8 `[B, bytes]` with parameters k hold."""
    n_rows = len(code)
    largest_k = int(k.max(initial=0))
    # Zeros on the right stand for remainders that were stripped; the last column is where a row without spikes waits.
    bits = np.zeros((n_rows, code.shape[1] * 8 + largest_k + 2), dtype=np.uint8)
    bits[:, : code.shape[1] * 8] = np.unpackbits(code, axis=1)
    width = bits.shape[1]
    offsets = np.arange(n_rows) * width
    # jump[place] is where the next spike begins if one begins at place: behind the next one and its remainder.
    places = np.where(bits != 0, np.arange(width), width)
    next_ones = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    jump = (np.minimum(next_ones + 1 + k[:, None], width - 1) + offsets[:, None]).ravel()

    cursors = [offsets]
    waiting = offsets + width - 1
    while not np.array_equal(cursors[-1], waiting):
        for _ in range(_STRIDE):
            cursors.append(jump.take(cursors[-1]))
    begins = np.stack(cursors, axis=1)  # [B, ordinal]
    rows, ordinals = np.nonzero(begins[:, 1:] < waiting[:, None])
    k_of_spike = k[rows]
    ones = begins[rows, ordinals + 1] - 1 - k_of_spike
    remainders = np.zeros_like(ones)
    flat = bits.ravel()
    for place in range(largest_k):
        has = place < k_of_spike
        remainders[has] = 2 * remainders[has] + flat[ones[has] + 1 + place]
    gaps = ((ones - begins[rows, ordinals]) << k_of_spike) + remainders
    # Within a row, the cell of a spike is the sum of all gaps and spikes before it; taken over all rows at once and
    # then brought back to each row's beginning.
    behind = np.cumsum(gaps + 1)
    first = np.searchsorted(rows, np.arange(n_rows))
    before_row = np.concatenate(([0], behind))[first]
    return rows, behind - before_row[rows] - 1


def _widened(rows: Bytes, n_bytes: int) -> Bytes:
    """Bring rows to `n_bytes` with zeros on the right, or by leaving zeros away."""
    widened = np.zeros((len(rows), n_bytes), dtype=np.uint8)
    n_shared = min(n_bytes, rows.shape[1])
    widened[:, :n_shared] = rows[:, :n_shared]
    return widened


def _not_a_code(n_time_steps: int, n_features: int) -> ValueError:
    return ValueError(
        f"These bytes are no 'rice' code of latents with {n_time_steps} time steps and {n_features} features: "
        "decode them with the settings that they were encoded with."
    )
