"""The states of the random generators that belong to the process: torch's, numpy's and Python's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def generator_states(device: torch.device) -> dict[str, Any]:
    """Return the states of all global generators, as plain data.

    Args:
        device: that is trained on; the generators of CUDA devices belong to it where it is one.
    """
    name, key, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - Avalanche draws from it
    python_version, python_key, python_rest = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if device.type == "cuda" else [],
        # As tensors, which are many times faster to read and write than hundreds of numbers.
        "numpy": [str(name), torch.from_numpy(np.asarray(key).astype(np.int64)), *rest],
        "random": [python_version, torch.tensor(python_key), python_rest],
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Put all global generators back to where `generator_states` found them.

    Raises:
        ValueError: there are fewer CUDA devices now than there were.
    """
    if len(states["cuda"]) > torch.cuda.device_count():
        raise ValueError(
            f"The checkpoint has random generators of {len(states['cuda'])} CUDA devices, but there are "
            f"{torch.cuda.device_count()} here: go on with it where there are as many."
        )
    for number, state in enumerate(states["cuda"]):
        torch.cuda.set_rng_state(state, number)
    name, key, *rest = states["numpy"]
    np.random.set_state((name, key.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    python_version, python_key, python_rest = states["random"]
    random.setstate((python_version, tuple(python_key.tolist()), python_rest))
    torch.set_rng_state(states["torch"])
