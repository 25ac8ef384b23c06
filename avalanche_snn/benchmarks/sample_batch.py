"""Many samples as one object: column by column, so that what is done to all of them is done at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from avalanche.benchmarks.utils.transform_groups import TransformGroups
from avalanche.benchmarks.utils.transforms import MultiParamCompose, TupleTransform
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import Compose

from avalanche_snn.datasets.rasters import cast

_SAME_WIDTH = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Column: TypeAlias = "Tensor | list[Any]"
"""One value a sample: a tensor whose first dimension is the samples, or a list."""


class SampleBatch(Sequence[list[Any]]):
    """B samples, as the sequence of samples that they are to who asks for one, and as columns to who asks for all.

    Args:
        columns: what the samples consist of, column 0 the rasters: B values each.
        dtype: what the rasters are given as; kept as they are stored until somebody looks at them. None for as is.
    """

    def __init__(self, columns: list[Column], dtype: torch.dtype | None = None) -> None:
        self._columns = columns
        self._dtype = dtype

    @classmethod
    def of_samples(cls, samples: Sequence[Sequence[Any]]) -> SampleBatch:
        """Return samples that were read one by one as a batch.

        Raises:
            RuntimeError: samples of different lengths.
        """
        if any(len(sample) != len(samples[0]) for sample in samples):
            raise RuntimeError("samples of one minibatch must have equally many elements")
        return cls([_stacked(list(values)) for values in zip(*samples, strict=True)])

    @classmethod
    def merged(cls, parts: Sequence[tuple[NDArray[np.int64], SampleBatch]]) -> SampleBatch:
        """Return the samples of several batches as one.

        Args:
            parts: each batch with the places that its samples take, int64 `[b]`, in the batch that they make up.

        Raises:
            RuntimeError: samples of different lengths.
        """
        if len({len(part._columns) for _, part in parts}) > 1:
            raise RuntimeError("samples of one minibatch must have equally many elements")
        dtypes = {part._dtype for _, part in parts}
        if len(dtypes) > 1:
            for _, part in parts:
                part._cast()
        places = [where for where, _ in parts]
        columns = zip(*(part._columns for _, part in parts), strict=True)
        return cls([_scattered(places, column) for column in columns], dtypes.pop() if len(dtypes) == 1 else None)

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, index: int) -> list[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[Any]]: ...

    def __getitem__(self, index: int | slice) -> list[Any] | list[list[Any]]:
        self._cast()
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return [column[index] for column in self._columns]

    def append_column(self, column: Column) -> None:
        """Give every sample one more element."""
        self._columns.append(column)

    def transform(self, groups: TransformGroups, group_name: str) -> SampleBatch:
        """Return the samples as the transforms of a group show them: together where a transform takes batches."""
        transform = groups.transform_groups[group_name]
        return self if transform is None else self._transformed(transform)

    def collated(self) -> list[Any]:
        """Return the minibatch that these samples make up, as torch's `default_collate` would."""
        self._cast()
        return [column if isinstance(column, Tensor) else default_collate(column) for column in self._columns]

    @property
    def rasters(self) -> Tensor:
        """The first elements of all samples.

        Raises:
            ValueError: they are no tensors of one shape.
        """
        self._cast()
        first = self._columns[0]
        if not isinstance(first, Tensor):
            raise ValueError(f"Rasters of one shape were wanted, but {[np.shape(value) for value in first[:3]]} came.")
        return first

    @property
    def others(self) -> list[Column]:
        """The columns beside the first."""
        return self._columns[1:]

    def _cast(self) -> None:
        first = self._columns[0]
        if self._dtype is not None and isinstance(first, Tensor):
            self._columns[0] = cast(first, self._dtype)
        self._dtype = None

    def _transformed(self, transform: Any) -> SampleBatch:
        self._cast()
        if isinstance(transform, MultiParamCompose) and all(
            isinstance(t, TupleTransform) for t in transform.transforms
        ):
            batch = self
            for each in transform.transforms:
                batch = batch._transformed(each)
            return batch
        if isinstance(transform, TupleTransform):
            columns = list(self._columns)
            for place, each in enumerate(transform.transforms):
                if each is not None:
                    columns[place] = _apply(each, columns[place])
            return SampleBatch(columns)
        return SampleBatch.of_samples([list(transform(*sample)) for sample in self])


def _takes_batches(transform: Any) -> bool:
    """Tell a transform that says of itself that it takes batches, or a chain of such, from one for single samples."""
    if isinstance(transform, Compose):
        return all(map(_takes_batches, transform.transforms))
    return bool(getattr(transform, "takes_batches", False))


def _apply(transform: Any, column: Column) -> Column:
    if isinstance(column, Tensor) and _takes_batches(transform):
        transformed: Tensor = transform(column)
        return transformed
    return _stacked([transform(value) for value in column])


def _stacked(values: list[Any]) -> Column:
    first = values[0] if values else None
    if isinstance(first, Tensor) and all(
        isinstance(value, Tensor) and value.shape == first.shape and value.dtype == first.dtype for value in values
    ):
        return torch.stack(values)
    return values


def _scattered(places: list[NDArray[np.int64]], columns: Sequence[Column]) -> Column:
    """Put the values of several columns in their places in one."""
    n_values = sum(map(len, places))
    tensors = [column for column in columns if isinstance(column, Tensor)]
    if len(tensors) == len(columns) and len({(tensor.shape[1:], tensor.dtype) for tensor in tensors}) == 1:
        return _scattered_tensors(places, tensors)
    values: list[Any] = [None] * n_values
    for where, column in zip(places, columns, strict=True):
        for place, value in zip(where.tolist(), column, strict=True):
            values[place] = value
    return values


def _scattered_tensors(places: list[NDArray[np.int64]], tensors: list[Tensor]) -> Tensor:
    # Through numpy, which writes fresh memory several times quicker than torch (see `cast`), whatever the dtype.
    width = _SAME_WIDTH[tensors[0].element_size()]
    arrays = [tensor.contiguous().view(width).numpy() for tensor in tensors]
    result = np.empty((sum(map(len, places)), *arrays[0].shape[1:]), arrays[0].dtype)
    for where, array in zip(places, arrays, strict=True):
        result[where] = array
    return torch.from_numpy(result).view(tensors[0].dtype)
