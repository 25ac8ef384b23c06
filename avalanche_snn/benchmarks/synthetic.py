"""Synthetic spoken digits as Avalanche benchmarks: the protocols of the SHD benchmarks on data generated in seconds.

What these benchmarks show is about the protocols and the code; it is no result on SHD, and never named so.
"""

# ruff: noqa: N802 - functions that build a benchmark are named in CamelCase, as Avalanche's are

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from avalanche.benchmarks import NCScenario, NIScenario

from avalanche_snn.benchmarks import protocols
from avalanche_snn.benchmarks.pool import RasterTransform
from avalanche_snn.benchmarks.splits import SplitName, ValidationBy
from avalanche_snn.datasets import SyntheticSpokenDigits


def SplitSyntheticSpokenDigits(
    n_experiences: int,
    *,
    return_task_id: bool = False,
    seed: int | None = None,
    fixed_class_order: Sequence[int] | None = None,
    shuffle: bool = True,
    class_ids_from_zero_in_each_exp: bool = False,
    class_ids_from_zero_from_first_exp: bool = False,
    train_transform: RasterTransform | None = None,
    eval_transform: RasterTransform | None = None,
    split: SplitName = "official",
    split_seed: int = 0,
    validation: float = 0.0,
    validation_by: ValidationBy = "sample",
    dataset_root: str | Path | None = None,
    n_time_steps: int = 100,
    duration_ms: float = 1400.0,
    n_channels: int = 700,
    binary: bool = False,
    dtype: torch.dtype = torch.float32,
    n_samples_per_class: int = 144,
    data_seed: int = 0,
) -> NCScenario:
    """Split the 20 classes of the synthetic data evenly over `n_experiences` experiences, as `SplitSHD` does SHD's.

    `n_samples_per_class` and `data_seed` decide what data are generated; `seed` still decides the order of the classes
    only. All other options, the streams and the attributes are those of `SplitSHD`.
    """
    train, test = _load(
        dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype, n_samples_per_class, data_seed
    )
    return protocols.split_classes(
        train,
        test,
        n_experiences,
        return_task_id=return_task_id,
        seed=seed,
        fixed_class_order=fixed_class_order,
        shuffle=shuffle,
        class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
        train_transform=train_transform,
        eval_transform=eval_transform,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
    )


def SyntheticClassIncremental(
    *,
    n_pretrain_classes: int = 19,
    new_class: int = 19,
    return_task_id: bool = False,
    seed: int | None = None,
    fixed_class_order: Sequence[int] | None = None,
    shuffle: bool = False,
    class_ids_from_zero_in_each_exp: bool = False,
    class_ids_from_zero_from_first_exp: bool = False,
    train_transform: RasterTransform | None = None,
    eval_transform: RasterTransform | None = None,
    split: SplitName = "official",
    split_seed: int = 0,
    validation: float = 0.0,
    validation_by: ValidationBy = "sample",
    dataset_root: str | Path | None = None,
    n_time_steps: int = 100,
    duration_ms: float = 1400.0,
    n_channels: int = 700,
    binary: bool = False,
    dtype: torch.dtype = torch.float32,
    n_samples_per_class: int = 144,
    data_seed: int = 0,
) -> NCScenario:
    """Learn all classes but one together, then that one, as `SHDClassIncremental` does.

    The data and their options are those of `SplitSyntheticSpokenDigits`.
    """
    train, test = _load(
        dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype, n_samples_per_class, data_seed
    )
    return protocols.class_incremental(
        train,
        test,
        n_pretrain_classes=n_pretrain_classes,
        new_class=new_class,
        return_task_id=return_task_id,
        seed=seed,
        fixed_class_order=fixed_class_order,
        shuffle=shuffle,
        class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
        train_transform=train_transform,
        eval_transform=eval_transform,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
    )


def SyntheticMultiClassIncremental(
    *,
    n_pretrain_classes: int = 10,
    return_task_id: bool = False,
    seed: int | None = None,
    fixed_class_order: Sequence[int] | None = None,
    shuffle: bool = False,
    class_ids_from_zero_in_each_exp: bool = False,
    class_ids_from_zero_from_first_exp: bool = False,
    train_transform: RasterTransform | None = None,
    eval_transform: RasterTransform | None = None,
    split: SplitName = "official",
    split_seed: int = 0,
    validation: float = 0.0,
    validation_by: ValidationBy = "sample",
    dataset_root: str | Path | None = None,
    n_time_steps: int = 100,
    duration_ms: float = 1400.0,
    n_channels: int = 700,
    binary: bool = False,
    dtype: torch.dtype = torch.float32,
    n_samples_per_class: int = 144,
    data_seed: int = 0,
) -> NCScenario:
    """Learn some classes together, then the others one by one, as `SHDMultiClassIncremental` does.

    The data and their options are those of `SplitSyntheticSpokenDigits`.
    """
    train, test = _load(
        dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype, n_samples_per_class, data_seed
    )
    return protocols.multi_class_incremental(
        train,
        test,
        n_pretrain_classes=n_pretrain_classes,
        return_task_id=return_task_id,
        seed=seed,
        fixed_class_order=fixed_class_order,
        shuffle=shuffle,
        class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
        train_transform=train_transform,
        eval_transform=eval_transform,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
    )


def SyntheticSampleIncremental(
    *,
    new_speaker: int = 11,
    n_experiences: int | None = None,
    return_task_id: bool = False,
    seed: int | None = None,
    shuffle: bool = False,
    train_transform: RasterTransform | None = None,
    eval_transform: RasterTransform | None = None,
    split: SplitName = "official",
    split_seed: int = 0,
    validation: float = 0.0,
    validation_by: ValidationBy = "sample",
    dataset_root: str | Path | None = None,
    n_time_steps: int = 100,
    duration_ms: float = 1400.0,
    n_channels: int = 700,
    binary: bool = False,
    dtype: torch.dtype = torch.float32,
    n_samples_per_class: int = 144,
    data_seed: int = 0,
) -> NIScenario:
    """Learn all classes from all speakers but one, then that speaker, as `SHDSampleIncremental` does.

    Speakers 4 and 5 are in the test data only, as in SHD. The data and their options are those of
    `SplitSyntheticSpokenDigits`.
    """
    train, test = _load(
        dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype, n_samples_per_class, data_seed
    )
    return protocols.sample_incremental(
        train,
        test,
        new_speaker=new_speaker,
        n_experiences=n_experiences,
        return_task_id=return_task_id,
        seed=seed,
        shuffle=shuffle,
        train_transform=train_transform,
        eval_transform=eval_transform,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
    )


def _load(
    dataset_root: str | Path | None,
    n_time_steps: int,
    duration_ms: float,
    n_channels: int,
    binary: bool,
    dtype: torch.dtype,
    n_samples_per_class: int,
    data_seed: int,
) -> tuple[SyntheticSpokenDigits, SyntheticSpokenDigits]:
    """Train and test file, binned alike."""

    def file(train: bool) -> SyntheticSpokenDigits:
        return SyntheticSpokenDigits(
            dataset_root,
            train=train,
            n_time_steps=n_time_steps,
            duration_ms=duration_ms,
            n_channels=n_channels,
            binary=binary,
            dtype=dtype,
            n_samples_per_class=n_samples_per_class,
            seed=data_seed,
        )

    return file(True), file(False)
