"""In which order classes and speakers are met."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


def shuffled(values: Sequence[int], seed: int | None) -> list[int]:
    """Values in a random order, without touching torch's global generator.

    The order is the one Avalanche's own generators give for that seed. Without a seed it follows from the present
    state of the global generator, as there, but the state is only read.
    """
    generator = torch.Generator()
    if seed is None:
        generator.set_state(torch.get_rng_state())
    else:
        generator.manual_seed(seed)
    return [values[index] for index in torch.randperm(len(values), generator=generator).tolist()]


def class_order(
    targets: NDArray[np.int64], *, shuffle: bool, seed: int | None, fixed_class_order: Sequence[int] | None
) -> list[int]:
    """Labels in the order in which they are met: as fixed, or shuffled, or ascending.

    Raises:
        ValueError: if `fixed_class_order` names a class twice, or one that the data do not have.
    """
    labels: list[int] = np.unique(targets).tolist()
    if fixed_class_order is None:
        return shuffled(labels, seed) if shuffle else labels
    order = list(fixed_class_order)
    if len(set(order)) != len(order):
        raise ValueError(f"fixed_class_order names a class twice: {order}")
    unknown = sorted(set(order) - set(labels))
    if unknown:
        raise ValueError(f"fixed_class_order names classes {unknown}, but the data have the classes {labels}")
    return order
