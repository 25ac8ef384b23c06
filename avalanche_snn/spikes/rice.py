"""Golomb-Rice coding of the gaps between spikes, for a whole batch of rasters of spikes or spike counts at once.

A row is a header byte and then a bit stream. Header 0: the stream is the raster itself, one bit a cell, time-major; of
counts the lowest bit of every cell, then the next one of every cell, and so on. Header 1 + 2 * k + order, and 128 more
where there are counts above 1: the raster is read time-major (order 0) or feature-major (order 1), and every cell that
is not 0 is written as the number g of silent cells since the one before it: g >> k zeros, a one, and the k lowest bits
of g, the highest first (Golomb, "Run-length encodings", 1966; Rice and Plaunt, 1971, for divisors that are powers of
two). Where there are counts above 1, a cell's count follows: count - 1 ones and a zero.

A spike ends its run of zeros with a one, so zero bytes on the right of a row add no spike: rows need neither their
length nor their number of spikes, and lose nothing when zero bytes on their right are stripped.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_HEADER_BITS = 8
# Ordinals decoded between two looks at whether any row has spikes left.
_STRIDE = 32
# Added to the header of rows with counts above 1.
_COUNTED = 128


def max_row_bytes(n_cells: int, n_planes: int = 1) -> int:
    """Return the most bytes that a raster of `n_cells` cells can take: the bits of its planes and the header."""
    return -(-n_cells * n_planes // 8) + 1


def encode_rasters(rasters: Bytes) -> Bytes:
    """Code each raster in the shortest of all its codes: of equals, the raster itself, then time-major, then lowest k.

    Args:
        rasters: uint8 `[B, T, H]` of spikes or spike counts.

    Returns:
        uint8 `[B, N]`, zero padded on the right, N <= max_row_bytes(T * H, P) with P bits for the largest count.
    """
    n_cells = rasters.shape[1] * rasters.shape[2]
    readings, n_planes = _readings(rasters), _planes_needed(rasters)
    best, n_code_bytes = _best_codes(readings, n_planes)
    raw = n_code_bytes >= -(-n_cells * n_planes // 8)
    order, k = np.divmod(best, _n_parameters(n_cells))

    packed = np.zeros((len(rasters), max_row_bytes(n_cells, int(n_planes.max(initial=1)))), dtype=np.uint8)
    if raw.any():
        planes = [(readings[0, raw] >> plane) & 1 for plane in range(int(n_planes[raw].max()))]
        bits = np.packbits(np.concatenate(planes, axis=1), axis=1)
        packed[raw, 1 : 1 + bits.shape[1]] = bits
    coded = np.flatnonzero(~raw)
    if coded.size:
        counted = n_planes[coded] > 1
        packed[coded, 0] = 1 + 2 * k[coded] + order[coded] + _COUNTED * counted
        code = np.packbits(_code_bits(readings[order[coded], coded], k[coded], counted), axis=1)
        packed[coded, 1 : 1 + code.shape[1]] = code
    return packed[:, : kept_bytes(packed).max(initial=1)]


def row_bytes(rasters: Bytes) -> Integers:
    """Return int64 `[B]`: the bytes of each raster's code with its header, before zero bytes are stripped.

    Args:
        rasters: uint8 `[B, T, H]` of spikes or spike counts.
    """
    n_cells = rasters.shape[1] * rasters.shape[2]
    n_planes = _planes_needed(rasters)
    _, n_code_bytes = _best_codes(_readings(rasters), n_planes)
    shorter: Integers = np.minimum(n_code_bytes, -(-n_cells * n_planes // 8))
    return shorter + 1


def decode_rasters(packed: Bytes, n_time_steps: int, n_features: int, n_planes: int = 1) -> Bytes:
    """Restore what `encode_rasters` coded.

    Args:
        packed: uint8 `[B, N]`, each row with any number of zero bytes on its right.
        n_time_steps: T.
        n_features: H.
        n_planes: P, at least as many bits as the largest count has, at most 8.

    Returns:
        uint8 `[B, T, H]`.

    Raises:
        ValueError: rows that no raster of this shape is coded as.
    """
    n_rows, n_cells = len(packed), n_time_steps * n_features
    longest = max_row_bytes(n_cells, n_planes)
    if packed.shape[1] > longest and packed[:, longest:].any():
        raise _not_a_code(n_time_steps, n_features)
    header = packed[:, 0].astype(np.int64)
    k, order = np.divmod(header % _COUNTED - 1, 2)
    if k.max(initial=0) >= _n_parameters(n_cells) or (header == _COUNTED).any():
        raise _not_a_code(n_time_steps, n_features)

    readings = np.zeros((n_rows, n_cells), dtype=np.uint8)
    raw, coded = np.flatnonzero(header == 0), np.flatnonzero(header != 0)
    if raw.size:
        bits = np.unpackbits(packed[raw, 1:longest], axis=1, count=n_cells * n_planes)
        for plane in range(n_planes):
            readings[raw] |= bits[:, plane * n_cells : (plane + 1) * n_cells] << plane
    if coded.size:
        rows, cells, counts = _decode_spikes(packed[coded, 1:], k[coded], header[coded] >= _COUNTED)
        if cells.max(initial=0) >= n_cells or counts.max(initial=0) >= 2**n_planes:
            raise _not_a_code(n_time_steps, n_features)
        readings[coded[rows], cells] = counts
    rasters = readings.reshape(n_rows, n_time_steps, n_features)
    feature_major = np.flatnonzero((header != 0) & (order == 1))
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


def _readings(rasters: Bytes) -> Bytes:
    """Return each raster read in both orders, `[order, B, T * H]`."""
    shape = len(rasters), rasters.shape[1] * rasters.shape[2]
    return np.stack([rasters.reshape(shape), rasters.transpose(0, 2, 1).reshape(shape)])


def _planes_needed(rasters: Bytes) -> Integers:
    """Return int64 `[B]`: as many bits as the largest count of each raster has, at least 1."""
    largest = rasters.reshape(len(rasters), rasters.shape[1] * rasters.shape[2]).max(axis=1, initial=0)
    n_bits: Integers = np.frexp(largest.astype(np.float64))[1].astype(np.int64)
    return np.maximum(1, n_bits)


def _n_parameters(n_cells: int) -> int:
    """Return how many values of k are tried."""
    return max(1, int(n_cells).bit_length())


def _best_codes(readings: Bytes, n_planes: Integers) -> tuple[Integers, Integers]:
    """Return the best order and k of each raster, as order * n_parameters + k, and the bytes that its code then has."""
    n_parameters = _n_parameters(readings.shape[2])
    # [B, order * n_parameters + k]; the first of the smallest is taken.
    sizes = np.concatenate([_code_sizes(reading, n_parameters) for reading in readings], axis=1)
    best = sizes.argmin(axis=1)
    n_bits = np.take_along_axis(sizes, best[:, None], axis=1)[:, 0]
    n_bits[n_planes > 1] += readings[0][n_planes > 1].sum(axis=1, dtype=np.int64)
    return best, -(-n_bits // 8)


def _gaps(reading: Bytes) -> tuple[Integers, Integers, Integers]:
    """Return row and cell of every spike of `[B, T * H]`, and the silent cells between it and the one before."""
    rows, cells = np.nonzero(reading)
    gaps = np.diff(cells, prepend=-1) - 1
    first = np.diff(rows, prepend=-1) != 0
    gaps[first] = cells[first]
    return rows, cells, gaps


def _code_sizes(reading: Bytes, n_parameters: int) -> Integers:
    """Return int64 `[B, n_parameters]`: the bits that each raster takes with k = 0, 1, ..., without its counts."""
    rows, _, gaps = _gaps(reading)
    n_spikes = np.bincount(rows, minlength=len(reading))
    ends = np.cumsum(n_spikes)
    sizes = np.empty((len(reading), n_parameters), dtype=np.int64)
    for k in range(n_parameters):
        sums = np.concatenate(([0], np.cumsum(gaps >> k)))
        sizes[:, k] = sums[ends] - sums[ends - n_spikes] + n_spikes * (1 + k)
    return sizes


def _code_bits(reading: Bytes, k: Integers, counted: Flags) -> Bytes:
    """Return the code of every row of `[B, T * H]` in zeros and ones, uint8 `[B, bits of the longest]`."""
    rows, cells, gaps = _gaps(reading)
    k_of_spike = k[rows]
    counts = np.where(counted[rows], reading[rows, cells], 0).astype(np.int64)
    lengths = (gaps >> k_of_spike) + 1 + k_of_spike + counts
    ends = np.cumsum(lengths)
    row_bits = np.bincount(rows, weights=lengths, minlength=len(reading)).astype(np.int64)
    row_starts = np.cumsum(row_bits) - row_bits
    # The place of the one that ends a spike's zeros, within its row.
    ones = ends - row_starts[rows] - counts - k_of_spike - 1
    bits = np.zeros((len(reading), int(row_bits.max(initial=0))), dtype=np.uint8)
    bits[rows, ones] = 1
    for place in range(int(k.max(initial=0))):
        has = place < k_of_spike
        shift = k_of_spike[has] - 1 - place
        bits[rows[has], ones[has] + 1 + place] = (gaps[has] >> shift) & 1
    for place in range(int(counts.max(initial=1)) - 1):
        has = place < counts - 1
        bits[rows[has], ones[has] + 1 + k_of_spike[has] + place] = 1
    return bits


def _decode_spikes(code: Bytes, k: Integers, counted: Flags) -> tuple[Integers, Integers, Integers]:
    """Return row, cell and count of every spike that the bit streams uint8 `[B, bytes]` with parameters k hold."""
    n_rows = len(code)
    largest_k = int(k.max(initial=0))
    # Zeros on the right stand for what was stripped; the last column is where a row without spikes waits.
    bits = np.zeros((n_rows, code.shape[1] * 8 + largest_k + 3), dtype=np.uint8)
    bits[:, : code.shape[1] * 8] = np.unpackbits(code, axis=1)
    width = bits.shape[1]
    offsets = np.arange(n_rows) * width
    next_ones, next_zeros = _next_place_of(bits != 0), _next_place_of(bits == 0)
    # jump[place] is where the next spike begins if one begins at place: behind its one, its remainder and its count.
    jump = np.minimum(next_ones + 1 + k[:, None], width - 1)
    jump[counted] = np.minimum(np.take_along_axis(next_zeros[counted], jump[counted], axis=1) + 1, width - 1)
    jump = (np.where(next_ones < width, jump, width - 1) + offsets[:, None]).ravel()

    cursors = [offsets]
    waiting = offsets + width - 1
    while not np.array_equal(cursors[-1], waiting):
        for _ in range(_STRIDE):
            cursors.append(jump.take(cursors[-1]))
    begins = np.stack(cursors, axis=1)  # [B, ordinal]
    rows, ordinals = np.nonzero(begins[:, 1:] < waiting[:, None])
    begin, k_of_spike = begins[rows, ordinals], k[rows]
    ones = next_ones.ravel()[begin] + offsets[rows]
    remainders = np.zeros_like(ones)
    flat = bits.ravel()
    for place in range(largest_k):
        has = place < k_of_spike
        remainders[has] = 2 * remainders[has] + flat[ones[has] + 1 + place]
    gaps = ((ones - begin) << k_of_spike) + remainders
    counts = np.where(counted[rows], begins[rows, ordinals + 1] - ones - 1 - k_of_spike, 1)
    # Within a row, the cell of a spike is the sum of all gaps and spikes before it; taken over all rows at once and
    # then brought back to each row's beginning.
    behind = np.cumsum(gaps + 1)
    first = np.searchsorted(rows, np.arange(n_rows))
    before_row = np.concatenate(([0], behind))[first]
    return rows, behind - before_row[rows] - 1, counts


def _next_place_of(wanted: Flags) -> Integers:
    """Return int64 `[B, N]`: the place of the next true value of each row from each place on, N where there is none."""
    width = wanted.shape[1]
    places = np.where(wanted, np.arange(width), width)
    nearest: Integers = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    return nearest


def _not_a_code(n_time_steps: int, n_features: int) -> ValueError:
    return ValueError(
        f"These bytes are no 'rice' code of latents with {n_time_steps} time steps and {n_features} features: "
        "decode them with the settings that they were encoded with."
    )
