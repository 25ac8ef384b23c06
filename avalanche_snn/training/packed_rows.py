"""Rows of packed bytes, of equal or different lengths, without padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PackedRows:
    """Rows of bytes: all of them in one tensor, and the length of each where lengths differ.

    Attributes:
        data: uint8, the rows one behind the other.
        lengths: bytes of each row, None where all rows have the same.
        width: bytes of the longest row that there could be.
    """

    data: Tensor
    lengths: Tensor | None
    width: int

    def __len__(self) -> int:
        return len(self.data) // self.width if self.lengths is None else len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes held, lengths included."""
        return self.data.nbytes + (0 if self.lengths is None else self.lengths.nbytes)

    def row_bytes(self) -> Tensor:
        """Return the bytes that each row costs, its entry among the lengths included: int64 `[n]`."""
        if self.lengths is None:
            return torch.full((len(self),), self.width, dtype=torch.int64)
        return self.lengths.to(torch.int64) + self.lengths.element_size()

    def take(self, rows: Tensor) -> Tensor:
        """Return the chosen rows as a matrix uint8 `[n, N]`, padded with zeros on the right."""
        if self.lengths is None:
            return self.data.view(-1, self.width)[rows]
        lengths = self.lengths.to(torch.int64)
        starts = torch.cumsum(lengths, 0) - lengths
        widest = int(lengths[rows].max()) if len(rows) else 0
        columns = torch.arange(widest)
        inside = columns < lengths[rows].unsqueeze(1)
        positions = torch.where(inside, starts[rows].unsqueeze(1) + columns, 0)
        return self.data[positions] * inside if widest else self.data.new_zeros((len(rows), 0))

    def keep(self, rows: Tensor) -> PackedRows:
        """Return only the chosen rows, in a tensor of their own."""
        if self.lengths is None:
            return PackedRows(self.data.view(-1, self.width)[rows].flatten(), None, self.width)
        return PackedRows.of(self.take(rows), self.lengths[rows].to(torch.int64), self.width, self.lengths.dtype)

    def append(self, other: PackedRows) -> PackedRows:
        """Return these rows and others behind them, in a tensor of their own."""
        lengths = None
        if self.lengths is not None and other.lengths is not None:
            lengths = torch.cat((self.lengths, other.lengths))
        return PackedRows(torch.cat((self.data, other.data)), lengths, self.width)

    @staticmethod
    def of(matrix: Tensor, lengths: Tensor, width: int, length_dtype: torch.dtype | None) -> PackedRows:
        """Return the rows of a padded matrix uint8 `[n, N]`; lengths are kept where there is a dtype for them."""
        if length_dtype is None:
            return PackedRows(matrix.flatten().clone(), None, width)
        inside = torch.arange(matrix.shape[1]) < lengths.unsqueeze(1)
        return PackedRows(matrix[inside], lengths.to(length_dtype), width)
