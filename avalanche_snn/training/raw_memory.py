"""What a memory has to know of the rasters of a data set, and memories of rasters themselves."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from avalanche_snn.benchmarks.whole_batches import rasters_of
from avalanche_snn.spikes import make_codec
from avalanche_snn.training.exemplar_memory import ExemplarMemory
from avalanche_snn.training.restored_counts import require_room_in
from avalanche_snn.training.selection import Selection

_N_EXAMPLES = 32
_CHUNK = 256


def memory_of_rasters(dataset: Any, codec: str, budget: int | None, selection: Selection) -> ExemplarMemory:
    """Make an empty memory for the rasters of a data set.

    Args:
        dataset: an Avalanche data set, under the transforms that count.
        codec: how rasters are stored.
        budget: bytes; None for no limit.
        selection: which samples are kept.

    Raises:
        ValueError: rasters that the code cannot store or restore.
    """
    rasters = first_rasters(dataset)
    n_time_steps, n_features = rasters.shape[1:]
    made = make_codec(codec, n_time_steps, n_features, _largest_to_store(dataset, codec))
    made.encode(rasters)  # says now what it cannot store
    require_room_in(rasters.dtype, made)
    memory = ExemplarMemory(budget, made, selection)
    # The latents of a front that is yet to be trained would tell nothing; rasters do.
    memory.expect(rasters)
    return memory


def fit_codec(memory: ExemplarMemory, dataset: Any) -> None:
    """Give every cell of a memory of rasters more bits when counts come that its code cannot hold."""
    codec = memory.codec
    largest = _largest_to_store(dataset, codec.spec)
    if largest > codec.max_count:
        wider = make_codec(codec.spec, codec.n_time_steps, codec.n_features, largest)
        require_room_in(rasters_of(dataset, [0]).dtype, wider)
        memory.recode(wider)


def first_rasters(dataset: Any) -> Tensor:
    """Return a few rasters `[B, T, C]`, as examples."""
    return rasters_of(dataset, range(min(_N_EXAMPLES, len(dataset))))


def rasters_of_largest_latents(dataset: Any, front: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """Return the raster `[1, T, C]` of whose latents one is the largest of all.

    Args:
        dataset: of at least one sample.
        front: rasters to latents.
        device: where `front` wants its rasters.
    """

    def found_from(start: int) -> tuple[float, Tensor]:
        rasters = rasters_of(dataset, range(start, min(start + _CHUNK, len(dataset))))
        largest, place = front(rasters.to(device)).flatten(1).amax(dim=1).max(dim=0)
        return float(largest), rasters[int(place)].unsqueeze(0)

    return max(map(found_from, range(0, len(dataset), _CHUNK)), key=itemgetter(0))[1]


def labels_of(dataset: Any) -> tuple[list[int], list[int]]:
    """Return class label and task label (0 where there is none) of every sample."""
    labels = [int(label) for label in dataset.targets]
    return labels, [int(task) for task in getattr(dataset, "targets_task_labels", [0] * len(labels))]


def _largest_to_store(dataset: Any, codec: str) -> int:
    """Return the largest value of any raster, or 1 for a code that keeps only whether there is one."""
    if codec.startswith("any"):
        return 1
    starts = range(0, len(dataset), _CHUNK)
    return max(1, *(int(rasters_of(dataset, range(i, min(i + _CHUNK, len(dataset)))).max()) for i in starts))
