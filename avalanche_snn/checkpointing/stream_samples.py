"""Data sets that are made of samples of the training stream, told by where these are: no sample is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.classification_dataset import (
    ClassificationDataset,
    TaskAwareClassificationDataset,
    TaskAwareSupervisedClassificationDataset,
)
from avalanche.benchmarks.utils.data import _FlatDataWithTransform
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence, FlatData
from torch.utils.data import default_collate

_KINDS: tuple[type[AvalancheDataset], ...] = (
    AvalancheDataset,
    ClassificationDataset,
    TaskAwareClassificationDataset,
    TaskAwareSupervisedClassificationDataset,
)


class ForeignSamplesError(TypeError):
    """A data set that holds more than samples of the training stream."""


class StreamSamples:
    """The samples of a training stream, and data sets made of them.

    Avalanche joins and cuts data sets by trees that end in the data sets of experiences, or in what these are cut from.
    Such a tree is described by the numbers of those nodes, in the order in which a walk through the stream meets them,
    and by the lists of indices above them. Beside samples, a data set holds its attributes (labels, say, or the logits
    of dark experience replay); their values are stored.

    Args:
        experiences: of the training stream, before anything has been trained.
    """

    def __init__(self, experiences: Iterable[Any]) -> None:
        self.experiences = list(experiences)
        self._datasets: list[Any] = [experience.dataset for experience in self.experiences]
        self._nodes: list[Any] = []
        self._numbers: dict[int, int] = {}
        for dataset in self._datasets:
            self._walk(dataset._flat_data)
        self._kinds = {kind.__qualname__: kind for kind in (*_KINDS, *map(type, self._datasets))}

    def describe(self, dataset: AvalancheDataset) -> dict[str, Any]:
        """Return a description of a data set, as plain data.

        Raises:
            ForeignSamplesError: there are samples in it that are not those of the stream, or another kind of data set.
        """
        kind = type(dataset)
        if self._kinds.get(kind.__qualname__) is not kind:
            raise ForeignSamplesError(
                f"a data set of the class {kind.__qualname__}, which is not that of the training stream"
            )
        return {
            "kind": kind.__qualname__,
            "tree": self._describe_node(dataset._flat_data),
            "transforms": dataset._flat_data._transform_groups.current_group,
            "collate_fn": self._number_of_collate_fn(dataset.collate_fn),
            "attributes": {name: _describe_attribute(held) for name, held in dataset._data_attributes.items()},
        }

    def rebuild(self, description: dict[str, Any]) -> AvalancheDataset:
        """Return the data set of a description.

        Raises:
            ValueError: the stream is another than that of the description.
        """
        tree = self._rebuild_node(description["tree"])
        number = description["collate_fn"]
        dataset = self._kinds[description["kind"]](
            [tree],
            data_attributes=[_rebuild_attribute(name, held) for name, held in description["attributes"].items()],
            collate_fn=None if number is None else self._datasets[number].collate_fn,
        )
        return dataset.with_transforms(description["transforms"])

    def _walk(self, node: Any) -> None:
        if id(node) in self._numbers:
            return
        self._numbers[id(node)] = len(self._nodes)
        self._nodes.append(node)
        for child in node._datasets if isinstance(node, FlatData) else ():
            self._walk(child)

    def _describe_node(self, node: Any) -> dict[str, Any]:
        number = self._numbers.get(id(node))
        if number is not None:
            return {"number": number, "length": len(node)}
        # A node that cannot be merged with others has transforms of its own, which are code.
        if type(node) is not _FlatDataWithTransform or not node._can_flatten:
            raise ForeignSamplesError(
                "samples that are not those of the training stream as its experiences have them (they were replaced, "
                "transformed or generated on the way)"
            )
        indices = None if node._indices is None else torch.tensor([int(i) for i in node._indices], dtype=torch.int64)
        return {"parts": [self._describe_node(part) for part in node._datasets], "indices": indices}

    def _rebuild_node(self, description: dict[str, Any]) -> Any:
        if "number" in description:
            number, length = description["number"], description["length"]
            if number >= len(self._nodes) or len(self._nodes[number]) != length:
                raise ValueError(
                    "The checkpoint refers to samples that the training stream does not have: build the benchmark as "
                    "it was to go on with it."
                )
            return self._nodes[number]
        indices = description["indices"]
        return _FlatDataWithTransform(
            [self._rebuild_node(part) for part in description["parts"]],
            indices=None if indices is None else indices.tolist(),
        )

    def _number_of_collate_fn(self, collate_fn: Any) -> int | None:
        for number, dataset in enumerate(self._datasets):
            if dataset.collate_fn is collate_fn:
                return number
        if collate_fn is default_collate:
            return None
        raise ForeignSamplesError("a data set with a `collate_fn` of its own")


def _describe_attribute(attribute: DataAttribute[Any]) -> dict[str, Any]:
    data = attribute.data
    described: dict[str, Any] = {
        "use_in_getitem": attribute.use_in_getitem,
        "discard": getattr(data, "_discard_elements_not_in_indices", False),
    }
    if isinstance(data, ConstantSequence) and len(data):
        return described | {"constant": data[0], "length": len(data)}
    values = [attribute[place] for place in range(len(attribute))]
    if values and all(type(value) is int for value in values):
        return described | {"numbers": torch.tensor(values, dtype=torch.int64)}
    are_tensors = all(torch.is_tensor(value) for value in values)
    if are_tensors and len({(value.dtype, value.shape, value.device) for value in values}) == 1:
        return described | {"rows": torch.stack(values)}
    return described | {"values": values}


def _rebuild_attribute(name: str, described: dict[str, Any]) -> DataAttribute[Any]:
    data: Any
    if "constant" in described:
        data = ConstantSequence(described["constant"], described["length"])
    else:
        values = _rebuild_values(described)
        # Avalanche tells whether values are the same by identity, and a list can be told from others.
        data = FlatData([values] if values else [], discard_elements_not_in_indices=described["discard"])
    return DataAttribute(data, name, use_in_getitem=described["use_in_getitem"])


def _rebuild_values(described: dict[str, Any]) -> list[Any]:
    if "numbers" in described:
        numbers: list[int] = described["numbers"].tolist()
        return numbers
    if "rows" in described:
        # Each with a memory of its own, so that it goes when its sample does.
        return [row.clone() for row in described["rows"]]
    values: list[Any] = described["values"]
    return values
