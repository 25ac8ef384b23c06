"""Avalanche datasets whose minibatches are read with one operation instead of sample by sample.

Avalanche's loaders ask a dataset for one sample after another and hand them to its `collate_fn`. A dataset of this
module answers with samples that are not read yet; its `collate_fn` reads all of a minibatch together, through the same
tree of concatenations, subsets and transforms. Who looks at a single sample finds it as ever.

A minibatch is the one that the samples would make up one by one, random transforms included: where there is one of
them, on the way of all samples, it draws for a batch what it would draw for them one after the other. Where samples
meet several, each draws for all that it meets before the next one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.classification_dataset import (
    ClassificationDataset,
    TaskAwareSupervisedClassificationDataset,
)
from avalanche.benchmarks.utils.data import _FlatDataWithTransform
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence, FlatData
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from avalanche_snn.benchmarks.sample_batch import Column, SampleBatch
from avalanche_snn.datasets import RasterDataset

Indices = NDArray[np.int64]


class TreeReader:
    """Reads batches of samples through trees of concatenations and subsets, as Avalanche reads single ones.

    The index lists of subsets are kept as arrays from the first time on; no copy or pickle of a reader has them.
    """

    def __init__(self) -> None:
        self._arrays: dict[int, tuple[Any, Indices]] = {}

    def read(self, data: Any, indices: Indices, group_name: str) -> SampleBatch:
        """Read samples of a data set or of a node of a tree.

        Args:
            data: a node of Avalanche's, or the data set at the end of a branch. One with a method
                `read_batch(indices, group_name)` reads its samples itself.
            indices: int64 `[B]`, all from 0 to `len(data)` - 1.
            group_name: of the transforms.
        """
        if hasattr(data, "read_batch"):
            batch: SampleBatch = data.read_batch(indices, group_name)
            return batch
        if type(data) is _FlatDataWithTransform:
            batch = self._read_branches(data, indices, group_name)
            for groups in (data._frozen_transform_groups, data._transform_groups):
                batch = batch.transform(groups, group_name)
            return batch
        if isinstance(data, RasterDataset) and type(data).__getitem__ is RasterDataset.__getitem__:
            targets = [data.targets[index] for index in indices.tolist()]
            return SampleBatch([data.stored_rasters_of(indices), targets], data.dtype)
        if isinstance(data, _FlatDataWithTransform):
            return SampleBatch.of_samples([data._getitem_recursive_call(i, group_name) for i in indices.tolist()])
        return SampleBatch.of_samples([data[index] for index in indices.tolist()])

    def leaves(self, data: Any, indices: Indices, is_leaf: Callable[[Any], bool]) -> list[tuple[Any, Indices, Indices]]:
        """Follow samples down to the data sets that hold them.

        What only stands for other samples, and names them as `stands_for`, is looked through.

        Args:
            data: a node of Avalanche's, or a data set.
            indices: int64 `[B]`.
            is_leaf: says of a node that it is not to be looked into.

        Returns:
            Data sets, the positions of samples in them, and which of the samples asked for they are, int64; a data set
            may be there several times.
        """
        if isinstance(data, AvalancheDataset):
            data = data._flat_data
        data = getattr(data, "stands_for", data)
        if not isinstance(data, FlatData) or is_leaf(data):
            return [(data, indices, np.arange(len(indices)))]
        return [
            (leaf, of_leaf, places[which])
            for branch, places, positions in self._branches(data, indices)
            for leaf, of_leaf, which in self.leaves(branch, positions, is_leaf)
        ]

    def _read_branches(self, data: Any, indices: Indices, group_name: str) -> SampleBatch:
        parts = [
            (places, self.read(branch, positions, group_name))
            for branch, places, positions in self._branches(data, indices)
        ]
        return parts[0][1] if len(parts) == 1 else SampleBatch.merged(parts)

    def _branches(self, data: Any, indices: Indices) -> list[tuple[Any, Indices, Indices]]:
        """Return each branch that holds some of the samples, which of them, and their positions in it."""
        if data._indices is not None:
            indices = self._array(data._indices)[indices]
        if len(data._datasets) == 1:
            return [(data._datasets[0], np.arange(len(indices)), indices)]
        ends = np.asarray(data._cumulative_sizes)
        numbers = np.searchsorted(ends, indices, side="right")
        found = []
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            start = ends[number - 1] if number else 0
            found.append((data._datasets[number], places, indices[places] - start))
        return found

    def _array(self, values: Sequence[Any]) -> Indices:
        if id(values) not in self._arrays:
            array = np.fromiter(map(int, values), np.int64, len(values))
            # The list itself is kept too: no other list can have its id then.
            self._arrays[id(values)] = (values, array)
        return self._arrays[id(values)][1]

    def __reduce__(self) -> tuple[type[TreeReader], tuple[()]]:
        return TreeReader, ()


class UnreadSample(MutableSequence[Any]):
    """A sample that is read when it is looked at, or with the rest of its minibatch.

    Args:
        dataset: that it is from.
        position: its place there.
        read: reads it.
    """

    __slots__ = ("_elements", "_read", "dataset", "position")

    def __init__(self, dataset: WholeBatches, position: int, read: Callable[[int], Sequence[Any]]) -> None:
        self.dataset = dataset
        self.position = position
        self._read = read
        self._elements: list[Any] | None = None

    @property
    def is_read(self) -> bool:
        """Whether somebody has looked at it."""
        return self._elements is not None

    @property
    def elements(self) -> list[Any]:
        """The elements of the sample; from now on they are read."""
        if self._elements is None:
            self._elements = list(self._read(self.position))
        return self._elements

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, index: Any) -> Any:
        return self.elements[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.elements[index] = value

    def __delitem__(self, index: Any) -> None:
        del self.elements[index]

    def insert(self, index: int, value: Any) -> None:
        """Insert an element."""
        self.elements.insert(index, value)

    def __add__(self, other: Iterable[Any]) -> list[Any]:
        return [*self.elements, *other]

    def __repr__(self) -> str:
        return repr(self.elements)

    def __copy__(self) -> list[Any]:
        return list(self.elements)

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (self.elements,)


class WholeBatches(AvalancheDataset):
    """What makes an Avalanche dataset read whole minibatches, whoever loads them, and leaves all else as it is."""

    collate_fn: Callable[..., Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reader = TreeReader()
        if self.collate_fn is default_collate:
            self.collate_fn = collate_samples

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)) and 0 <= index < len(self):
            return UnreadSample(self, int(index), super().__getitem__)
        return super().__getitem__(index)

    def __getitems__(self, indices: Sequence[int]) -> SampleBatch:
        """Return many samples at once; torch's loaders ask for them where they hold this dataset itself."""
        return self.read_samples(np.fromiter(map(int, indices), np.int64, len(indices)))

    def read_samples(self, indices: Indices) -> SampleBatch:
        """Return samples, with the data attributes that go with each.

        Args:
            indices: int64 `[B]`, all from 0 to `len(self)` - 1.
        """
        batch = self._reader.read(self._flat_data, indices, self._flat_data._transform_groups.current_group)
        for attribute in self._data_attributes.values():
            if attribute.use_in_getitem:
                batch.append_column(_values(attribute, indices))
        return batch


class _TaskAwareWholeBatches(WholeBatches, TaskAwareSupervisedClassificationDataset):
    pass


class _ClassificationWholeBatches(WholeBatches, ClassificationDataset):
    pass


_KINDS: dict[type, type[WholeBatches]] = {
    TaskAwareSupervisedClassificationDataset: _TaskAwareWholeBatches,
    ClassificationDataset: _ClassificationWholeBatches,
}


def with_whole_batches(dataset: AvalancheDataset) -> AvalancheDataset:
    """Return the same dataset as one that reads whole batches, if it is one of Avalanche's classification datasets."""
    kind = _KINDS.get(type(dataset))
    return dataset if kind is None else kind([dataset])


def rasters_of(dataset: AvalancheDataset, indices: Sequence[int]) -> Tensor:
    """Return the rasters of some samples of any Avalanche dataset `[B, T, C]`, under its present transforms."""
    data = dataset._flat_data
    positions = np.fromiter(map(int, indices), np.int64, len(indices))
    return TreeReader().read(data, positions, data._transform_groups.current_group).rasters


def collate_samples(samples: Sequence[Any]) -> Any:
    """Make a minibatch of samples: of unread ones by reading them together, of others as torch does.

    Args:
        samples: from one dataset or several, in the order of the minibatch.

    Returns:
        One tensor for each element of a sample, as torch's `default_collate` returns them.
    """
    if isinstance(samples, SampleBatch):
        return samples.collated()
    if not all(isinstance(sample, (UnreadSample, list, tuple)) for sample in samples):
        return default_collate([list(s) if isinstance(s, UnreadSample) else s for s in samples])
    parts = []
    start = 0
    # Neighbours only: what samples draw from a random generator is drawn in their order.
    for _, run in groupby(samples, _source):
        group = list(run)
        if _source(group[0]) is None:
            batch = SampleBatch.of_samples(group)
        else:
            batch = group[0].dataset.read_samples(
                np.fromiter((sample.position for sample in group), np.int64, len(group))
            )
        parts.append((np.arange(start, start + len(group)), batch))
        start += len(group)
    return (parts[0][1] if len(parts) == 1 else SampleBatch.merged(parts)).collated()


def _source(sample: Any) -> int | None:
    """Return which dataset a sample has to be read from, None if it has been read."""
    return id(sample.dataset) if isinstance(sample, UnreadSample) and not sample.is_read else None


def _values(attribute: DataAttribute[Any], indices: Indices) -> Column:
    if isinstance(attribute.data, ConstantSequence):
        return [attribute.data[0]] * len(indices)
    return [attribute[index] for index in indices.tolist()]
