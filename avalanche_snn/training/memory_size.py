"""Sizes of memories as people write them."""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Integral

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_UNITS_BY_LOWER = {name.lower(): factor for name, factor in _UNITS.items()}
UNLIMITED = "unlimited"


class BudgetTooSmallError(ValueError):
    """A budget below one exemplar of each class.

    Args:
        message: for people.
        least_bytes: see below.

    Attributes:
        least_bytes: the smallest budget that works.
    """

    def __init__(self, message: str, least_bytes: int) -> None:
        super().__init__(message, least_bytes)
        self.least_bytes = least_bytes

    def __str__(self) -> str:
        return str(self.args[0])


def parse_memory_size(size: str | int) -> int | None:
    """Turn a memory size into bytes.

    Args:
        size: bytes as an int, or a number with a unit: "160 kB" (160 000 bytes), "16 KiB" (16 384), "1.6 MB"; or
            "unlimited".

    Returns:
        Bytes, or None for "unlimited".

    Raises:
        TypeError: neither a string nor an int.
        ValueError: a string that is no size, a negative number, or no whole number of bytes.
    """
    if isinstance(size, bool) or not isinstance(size, (str, Integral)):
        raise TypeError(f'memory must be a string like "160 kB" or a number of bytes, but {size!r} came.')
    if not isinstance(size, str):
        if size < 0:
            raise ValueError(f"memory must not be negative, but {size} bytes came.")
        return int(size)
    if size.strip().lower() == UNLIMITED:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\d+(?:_\d+)+)\s*([A-Za-z]*)\s*", size)
    factor = _UNITS_BY_LOWER.get(match.group(2).lower() or "b") if match else None
    if match is None or factor is None:
        raise ValueError(
            f'memory must be a number with one of the units {", ".join(_UNITS)} (like "160 kB"), or "{UNLIMITED}", '
            f"but {size!r} came."
        )
    # With floats, "1.001 kB" would be 1000 bytes.
    n_bytes = Decimal(match.group(1)) * factor
    if n_bytes % 1:
        raise ValueError(f"memory must be a whole number of bytes, but {size!r} is {n_bytes.normalize()}.")
    return int(n_bytes)


def format_memory_size(n_bytes: int | None) -> str:
    """Write bytes as `parse_memory_size` reads them, the same size always in the same way.

    Args:
        n_bytes: bytes, or None for no limit.

    Returns:
        A whole number with the largest of the units B, kB, MB and GB that allows one: "1600 kB"; or "unlimited".
    """
    if n_bytes is None:
        return UNLIMITED
    for unit in ("GB", "MB", "kB"):
        if n_bytes and n_bytes % _UNITS[unit] == 0:
            return f"{n_bytes // _UNITS[unit]} {unit}"
    return f"{n_bytes} B"
