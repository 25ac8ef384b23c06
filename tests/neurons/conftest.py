from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def samples_decided_by_rounding() -> Callable[[Tensor, Tensor, Tensor], int]:
    """Compare spikes with a reference's, given the reference's membranes; all `[B, T, H]`, threshold 1.

    Returns the number of samples that differ; fails where the first difference of a sample does not lie where the
    reference's membrane is within 1e-5 of the threshold.
    """

    def count(spikes: Tensor, expected: Tensor, membranes: Tensor) -> int:
        n_samples = 0
        for differs, membrane in zip(spikes != expected, membranes, strict=True):
            if differs.any():
                first = int(differs.any(dim=1).nonzero()[0])
                distance = (membrane[first] - 1.0).abs()[differs[first]].max()
                assert distance < 1e-5, f"spikes differ {distance:.2g} from the threshold, in step {first}"
                n_samples += 1
        return n_samples

    return count
