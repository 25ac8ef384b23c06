"""Plain data: what a checkpoint may hold, so that reading one never runs code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_SCALARS = (bool, int, float, str, bytes)
ALLOWED = "tensors, numbers, strings, bytes, None, and lists, tuples and dicts of these"


def plain_copy(value: Any, where: str) -> Any:
    """Return a copy of plain data that shares no memory with it; its tensors are on the CPU.

    Args:
        value: the data. Scalars of numpy become those of Python, other mappings become dicts.
        where: what the data are, for the error.

    Raises:
        TypeError: something in there is not plain data.
    """
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(plain_copy(item, f"{where}[{place}]") for place, item in enumerate(value))
    if isinstance(value, Mapping):
        return {
            plain_copy(key, f"a key of {where}"): plain_copy(item, f"{where}[{key!r}]") for key, item in value.items()
        }
    raise TypeError(f"A checkpoint holds {ALLOWED}, but {where} is a {type(value).__qualname__}.")
