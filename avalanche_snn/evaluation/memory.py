"""How many bytes a strategy keeps: between experiences, and beyond that only while it trains.

The rule is the same for every strategy. `memory_bytes` is everything that outlives an experience besides the model and
its optimizer: exemplars as they are stored, importance matrices, copies of parameters, old networks. Avalanche's
buffers do not hold samples but refer to the data set; their samples are counted as they would be stored without loss,
see `bytes_of_samples` (not the lots that such a buffer has drawn for its samples: a counter would do instead of them).
`working_bytes` is the most that existed beyond that while training: cached latents, a teacher that is built anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLExperience, CLScenario, CLStream
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.flat_data import FlatData
from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from avalanche.logging import BaseLogger
from avalanche.training.plugins import (
    AGEMPlugin,
    EvaluationPlugin,
    GEMPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.supervised import DER, ER_ACE, MER
from numpy.typing import NDArray
from torch import Tensor, nn

from avalanche_snn.benchmarks.whole_batches import TreeReader
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.spikes import rice_bytes

# What the template itself lends out for the time of a call; none of it is kept.
_OF_THE_TEMPLATE = {
    "model", "optimizer", "evaluator", "clock", "experience", "dataloader", "mbatch", "mb_output", "loss",
    "adapted_dataset", "current_eval_stream", "_eval_streams", "_experiences",
}  # fmt: skip
# What these go on holding though they compute it anew for every minibatch or experience: it exists while they train.
# Entries of a mapping are written with a dot.
_OF_TRAINING: dict[type, set[str]] = {
    AGEMPlugin: {"reference_gradients"},
    GEMPlugin: {"G"},
    RWalkPlugin: {"iter_grad", "iter_params", "checkpoint_params", "checkpoint_loss", "checkpoint_scores"},
    SynapticIntelligencePlugin: {f"syn_data.{name}" for name in ("old_theta", "new_theta", "grad", "trajectory")},
    DER: {"batch_logits"},
    ER_ACE: {"mb_buffer_x", "mb_buffer_y", "mb_buffer_tid", "mb_buffer_out"},
    MER: {"w_bef"},
}
_NOT_MEMORY = (CLExperience, CLStream, CLScenario, EvaluationPlugin, BaseLogger, torch.optim.Optimizer)
_OF_A_MODULE = {"_parameters", "_buffers", "_modules"}
# Of samples that no `RasterDataset` holds, data set by data set: they are counted after every epoch, and stay the same.
_BYTES_OF_OTHERS: WeakKeyDictionary[Any, dict[int, int]] = WeakKeyDictionary()
_LABEL_BYTES = 1
_LENGTH_BYTES = 2


def memory_bytes(strategy: Any) -> int:
    """Return the bytes that a strategy keeps at this moment besides its model and optimizer.

    An object that knows its own size, as `CompressedLatentReplayPlugin` does, says it in an attribute `memory_bytes`
    and is not looked into.

    Args:
        strategy: any Avalanche strategy.
    """
    return _Count(strategy).total


def bytes_of_samples(dataset: AvalancheDataset) -> NDArray[np.int64]:
    """Return the bytes `[n]` that `memory_bytes` counts for each sample that one of Avalanche's buffers refers to.

    Rasters of spikes and spike counts as the code "rice" stores them, which loses nothing, and two bytes for the length
    of that code; other samples as they are, or whole numbers up to 255 in a byte each or in that code, whichever is
    shorter; and a byte for the label.
    """
    sizes = np.zeros(len(dataset), np.int64)
    for leaf, positions, places in TreeReader().leaves(dataset, np.arange(len(dataset)), _serves_latents):
        sizes[places] = _stored_bytes(leaf, positions)
    return sizes


def bytes_in_use(strategy: Any) -> int:
    """Return what `memory_bytes` returns and, on top of it, what plugins report as `working_bytes` at this moment."""
    return _Count(strategy, working=True).total


class MemoryMetric(PluginMetric[int]):
    """Report `memory_bytes` and `working_bytes` after each training experience.

    Emitted as "MemoryBytes/train_phase/train_stream/Exp000" and "WorkingBytes/...", like Avalanche's metrics that have
    one value an experience. Bytes are counted after each epoch; `working_bytes` is the largest count of the experience,
    less what is kept after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._most = 0
        self._kept = 0
        self._working = 0

    def __str__(self) -> str:
        return "MemoryBytes"

    def reset(self) -> None:
        """Forget the present experience."""
        self._most = 0

    def result(self) -> int:
        """Return `memory_bytes` after the last experience."""
        return self._kept

    @property
    def memory_bytes(self) -> int:
        """Bytes kept after the last experience."""
        return self._kept

    @property
    def working_bytes(self) -> int:
        """The most bytes beyond those kept, over all experiences."""
        return self._working

    def state_dict(self) -> dict[str, Any]:
        """Return the counts so far."""
        return {"most": self._most, "kept": self._kept, "working": self._working}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the counts of another metric."""
        self._most, self._kept, self._working = state["most"], state["kept"], state["working"]

    def before_training_exp(self, strategy: Any) -> None:
        """Count what is there before the first epoch."""
        self._most = bytes_in_use(strategy)

    def after_training_epoch(self, strategy: Any) -> None:
        """Count what is there after an epoch."""
        self._most = max(self._most, bytes_in_use(strategy))

    def after_training_exp(self, strategy: Any) -> list[MetricValue]:
        """Count what stays, and emit both figures."""
        self._most = max(self._most, bytes_in_use(strategy))
        self._kept = memory_bytes(strategy)
        working = max(0, self._most - self._kept)
        self._working = max(self._working, working)
        number = strategy.clock.train_exp_counter
        step = strategy.clock.train_iterations
        where = f"train_phase/train_stream/Exp{number:03d}"
        return [
            MetricValue(self, f"MemoryBytes/{where}", self._kept, step),
            MetricValue(self, f"WorkingBytes/{where}", working, step),
        ]


def memory_metrics() -> list[PluginMetric[int]]:
    """Return the metrics of this module, as Avalanche's `accuracy_metrics` does, for an `EvaluationPlugin`."""
    return [MemoryMetric()]


class _Count:
    """One walk through everything that a strategy holds, each tensor and each sample counted once."""

    def __init__(self, strategy: Any, *, working: bool = False) -> None:
        self._working = working
        self._seen: set[int] = set()
        self._bytes_of_storages: dict[int, int] = {}
        self._samples: dict[int, tuple[Any, list[NDArray[np.int64]]]] = {}
        self._reader = TreeReader()
        self._bytes = 0
        # Kept alive for the walk: ids of objects made on the way must not be given out twice.
        self._alive: list[Any] = []
        for tensor in (*strategy.model.parameters(), *strategy.model.buffers()):
            self._count_tensor(tensor)
        of_the_model = sum(self._bytes_of_storages.values())
        self._seen.add(id(strategy.model))
        # What a strategy hangs on the network (CWR* its consolidated weights) is no part of it.
        self._visit_attributes(strategy.model, skip=_OF_A_MODULE)
        self._visit_attributes(strategy, skip=_OF_THE_TEMPLATE)
        tensors = sum(self._bytes_of_storages.values()) - of_the_model
        samples = sum(
            int(_stored_bytes(leaf, np.unique(np.concatenate(parts))).sum()) for leaf, parts in self._samples.values()
        )
        self.total = self._bytes + tensors + samples

    def _visit(self, value: Any) -> None:
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, type, *_NOT_MEMORY)):
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._alive.append(value)
        if isinstance(value, Tensor):
            self._count_tensor(value)
        elif isinstance(value, np.ndarray):
            self._bytes += value.nbytes
        elif isinstance(value, AvalancheDataset):
            self._visit_dataset(value)
        elif isinstance(value, ExemplarsBuffer):
            self._visit(value.buffer)
        elif isinstance(getattr(value, "memory_bytes", None), int):
            self._bytes += value.memory_bytes + (getattr(value, "working_bytes", 0) if self._working else 0)
        elif isinstance(value, nn.Module):
            for tensor in (*value.parameters(recurse=False), *value.buffers(recurse=False)):
                self._count_tensor(tensor)
            self._visit({k: v for k, v in vars(value).items() if k not in _OF_A_MODULE})
            for child in value.children():
                self._visit(child)
        elif isinstance(value, Mapping):
            for item in list(value.values()):
                self._visit(item)
        elif isinstance(value, (list, tuple, deque, Set)):
            for item in list(value):
                self._visit(item)
        elif not isinstance(value, (FunctionType, ModuleType)) and hasattr(value, "__dict__"):
            self._visit_attributes(value)

    def _visit_attributes(self, value: Any, skip: Set[str] = frozenset()) -> None:
        of_training = set().union(*(names for kind, names in _OF_TRAINING.items() if isinstance(value, kind)))
        if self._working:
            of_training = set()
        for name, item in list(vars(value).items()):
            if name in skip or name in of_training:
                continue
            if isinstance(item, Mapping) and any(f"{name}.{key}" in of_training for key in item):
                item = {key: entry for key, entry in item.items() if f"{name}.{key}" not in of_training}
            self._visit(item)

    def _count_tensor(self, tensor: Tensor) -> None:
        """Count what the tensor shows of its storage, and never more of a storage than there is."""
        storage = tensor.untyped_storage()
        counted = self._bytes_of_storages.get(storage.data_ptr(), 0)
        self._bytes_of_storages[storage.data_ptr()] = min(storage.nbytes(), counted + tensor.nbytes)

    def _visit_dataset(self, dataset: AvalancheDataset) -> None:
        for leaf, indices, _ in self._reader.leaves(dataset, np.arange(len(dataset)), _serves_latents):
            if not _serves_latents(leaf):
                self._samples.setdefault(id(leaf), (leaf, []))[1].append(indices)
            elif not self._working:
                # All latents of an experience are kept by whatever refers to one of them. While there are
                # working bytes to count, they are among those.
                self._visit(leaf.cache)
        for attribute in dataset._data_attributes.values():
            if attribute.name not in ("targets", "targets_task_labels"):
                self._visit_attribute(attribute)

    def _visit_attribute(self, attribute: DataAttribute[Any]) -> None:
        """Count what buffers store beside samples (DER's logits); names and numbers of the data set itself are not."""
        if len(attribute) and isinstance(attribute[0], (Tensor, np.ndarray)):
            for i in range(len(attribute)):
                self._visit(attribute[i])


def _serves_latents(data: Any) -> bool:
    """Tell a view of an experience's latents from other data; what stands for rasters only is looked through."""
    return isinstance(data, FlatData) and getattr(getattr(data, "cache", None), "memory_bytes", 0) > 0


def _stored_bytes(leaf: Any, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bytes of each sample stored without loss, with its label."""
    if isinstance(leaf, RasterDataset):
        return leaf.code_bytes(indices) + _LENGTH_BYTES + _LABEL_BYTES
    try:
        known = _BYTES_OF_OTHERS.setdefault(leaf, {})
    except TypeError:  # what cannot be a key is counted each time
        known = {}
    for index in indices.tolist():
        if index not in known:
            known[index] = _bytes_of_other(torch.as_tensor(leaf[index][0]))
    return np.array([known[index] for index in indices.tolist()], dtype=np.int64) + _LABEL_BYTES


def _bytes_of_other(sample: Tensor) -> int:
    """Return the bytes of a sample that no `RasterDataset` holds."""
    counts = sample.to(torch.uint8)
    if sample.numel() == 0 or not torch.equal(counts.to(sample.dtype), sample):
        return sample.nbytes
    coded = int(rice_bytes(counts.reshape(1, len(counts) if counts.dim() > 1 else 1, -1))) + _LENGTH_BYTES
    return min(coded, counts.nbytes)
