"""All samples of a data set as one Avalanche data set, and the benchmark attributes that say which data it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.utils.classification_dataset import TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.benchmarks.utils.transform_groups import TransformGroups
from numpy.typing import NDArray

from avalanche_snn.benchmarks.splits import Split, SplitName, ValidationBy, split_samples
from avalanche_snn.datasets import RasterDataset

RasterTransform = Callable[[torch.Tensor], torch.Tensor]
"""Maps one raster `[T, C]`, of the dtype of the data, to another; with an attribute `takes_batches = True` also
batches `[B, T, C]`, each sample by itself, and is then given whole minibatches (`avalanche_snn.spikes.augmentation`).
"""


class SamplePool:
    """Train and test file as one Avalanche data set, with the role of each sample.

    Attributes:
        targets: int64 `[n]`, class of every sample, train file first.
        speakers: int64 `[n]`, speaker of every sample.
        roles: which samples train, validate and test.
    """

    def __init__(
        self,
        train: RasterDataset,
        test: RasterDataset,
        *,
        split: SplitName,
        split_seed: int,
        validation: float,
        validation_by: ValidationBy,
        train_transform: RasterTransform | None,
        eval_transform: RasterTransform | None,
    ) -> None:
        """Check that the two files belong together and split them.

        Raises:
            ValueError: if they are not a train and a test file, or differ in name, classes or raster shape; and as
                `split_samples` does.
        """
        if (train.split, test.split) != ("train", "test"):
            raise ValueError(f"wanted the train data, then the test data, not {train.split!r}, then {test.split!r}")
        for what, of_train, of_test in (
            ("names", train.name, test.name),
            ("class names", train.class_names, test.class_names),
            ("raster shapes [T, C]", train.rasters.shape[1:], test.rasters.shape[1:]),
            ("dtypes", train.dtype, test.dtype),
        ):
            if of_train != of_test:
                raise ValueError(
                    f"train and test data must be of one data set, but their {what} differ: {of_train} and {of_test}"
                )
        self.targets: NDArray[np.int64] = np.asarray([*train.targets, *test.targets], dtype=np.int64)
        self.speakers: NDArray[np.int64] = np.concatenate([train.speakers, test.speakers]).astype(np.int64)
        self.roles: Split = split_samples(
            self.targets,
            self.speakers,
            len(train),
            split=split,
            split_seed=split_seed,
            validation=validation,
            validation_by=validation_by,
        )
        self._dataset = TaskAwareSupervisedClassificationDataset(
            [train, test],
            data_attributes=[
                DataAttribute(self.targets.tolist(), "targets"),
                DataAttribute(ConstantSequence(0, len(self.targets)), "targets_task_labels", use_in_getitem=True),
                DataAttribute(range(len(self.targets)), "sample_ids"),
                DataAttribute(self.speakers.tolist(), "speakers"),
            ],
            transform_groups=TransformGroups({"train": train_transform, "eval": eval_transform}),
        )
        self._description: dict[str, Any] = {
            "dataset_name": train.name,
            "dataset_sha256": hashlib.sha256(f"{train.sha256}\n{test.sha256}".encode()).hexdigest(),
            "split": split,
            "split_seed": split_seed,
            "class_names": list(train.class_names),
            "n_time_steps": int(train.rasters.shape[1]),
            "n_channels": int(train.rasters.shape[2]),
        }

    def subset(
        self, sample_ids: NDArray[np.int64], transforms: str, task_label: int = 0
    ) -> TaskAwareSupervisedClassificationDataset:
        """These samples, in this order, under the transforms of the group `"train"` or `"eval"`."""
        chosen = self._dataset.subset(sample_ids.tolist()).with_transforms(transforms)
        labels = DataAttribute(ConstantSequence(task_label, len(chosen)), "targets_task_labels", use_in_getitem=True)
        return chosen.update_data_attribute("targets_task_labels", labels)

    def describe(self, benchmark: Any) -> None:
        """Write onto the benchmark which data it holds and how they were split."""
        for name, value in self._description.items():
            setattr(benchmark, name, value)
