"""The Spiking Heidelberg Digits as Avalanche benchmarks.

Each function loads SHD and applies one of the protocols of `avalanche_snn.benchmarks.protocols` to it. What the options
mean is said once, at `SplitSHD`.
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
from avalanche_snn.datasets import SHD


def SplitSHD(
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
) -> NCScenario:
    """Split SHD's 20 classes evenly over `n_experiences` experiences, each class in one of them.

    Every sample is (raster `[n_time_steps, n_channels]`, label, task label). The test stream has one experience
    per training experience, of the same classes; on the official split the test speakers 4 and 5 are heard in no
    training sample.

    Args:
        n_experiences: a divisor of the number of classes, 20.
        return_task_id: give every experience a task label of its own instead of 0.
        seed: of the order of the classes, and of nothing else. None takes the order from the present state of torch's
            global generator, which is left as it is in either case.
        fixed_class_order: the order itself, instead of `seed` and `shuffle`; classes it does not name are left out.
        shuffle: shuffle the order of the classes; otherwise they come in label order.
        class_ids_from_zero_in_each_exp: label the classes of every experience from 0.
        class_ids_from_zero_from_first_exp: label the classes by their place in the order. Without these two, classes
            keep SHD's labels: 0-9 are English, 10-19 German.
        train_transform: applied to each raster of the train stream.
        eval_transform: applied to each raster of all other streams.
        split: `"official"` trains on SHD's train file and tests on its test file. `"merged"` draws 80 % of both files
            together for training, plainly at random, as arXiv 2407.03111 does; results on the two splits cannot be
            compared.
        split_seed: of the merged split and of the validation samples, which no other seed changes.
        validation: fraction of the training samples that is held out as `benchmark.valid_stream`, which has one
            experience per training experience. 0 makes no such stream.
        validation_by: `"sample"` holds out that fraction of every class, spread evenly over its speakers; `"speaker"`
            that fraction of the training speakers, with all they say.
        dataset_root: folder that holds `SHD/`; by default the environment variable AVALANCHE_SNN_DATA or Avalanche's
            own dataset folder.
        n_time_steps: time bins of a raster.
        duration_ms: what they span, in ms; later spikes are dropped.
        n_channels: a divisor of 700; neighbouring units share a channel.
        binary: rasters of 0 and 1 instead of spike counts.
        dtype: of the rasters: float32, which every module of torch takes, or `torch.uint8`, as they are stored: the
            networks of this library take those as well, and loading them costs a tenth.

    Returns:
        An NCScenario. Its data sets carry `sample_ids` (position in the train file followed by the test file) and
        `speakers`; it has `dataset_name`, `dataset_sha256`, `split`, `split_seed`, `class_names`, `n_time_steps` and
        `n_channels`.

    Raises:
        ValueError: if `n_experiences` does not divide the number of classes, or an option is out of range.
        FileNotFoundError: if SHD is neither there nor can be downloaded.
    """
    train, test = _load(dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype)
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


def SHDClassIncremental(
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
) -> NCScenario:
    """Learn all classes but one together, then that one: Class-Incremental SHD of arXiv 2407.03111.

    Experience 0 has `n_pretrain_classes` classes (1 to 19), every later experience one more, and `new_class` is the
    last of all. The others come in label order, or shuffled; a `fixed_class_order` must end with `new_class`.
    All other options, the streams and the attributes are those of `SplitSHD`.

    Raises:
        ValueError: if `new_class` is no class or not the last of `fixed_class_order`, if `n_pretrain_classes` leaves
            nothing to learn before or after it, or if an option is out of range.
        FileNotFoundError: if SHD is neither there nor can be downloaded.
    """
    train, test = _load(dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype)
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


def SHDMultiClassIncremental(
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
) -> NCScenario:
    """Learn some classes together, then the others one by one: Multi-Class-Incremental SHD of arXiv 2407.03111.

    Experience 0 has `n_pretrain_classes` classes (1 to 19), every later experience one more, in label order unless
    shuffled or fixed: by default the ten English digits, then the German ones one at a time. All other options, the
    streams and the attributes are those of `SplitSHD`.

    Raises:
        ValueError: if `n_pretrain_classes` leaves nothing to learn before or after it, or if an option is out of range.
        FileNotFoundError: if SHD is neither there nor can be downloaded.
    """
    train, test = _load(dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype)
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


def SHDSampleIncremental(
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
) -> NIScenario:
    """Learn all classes from all speakers but one, then that speaker: Sample-Incremental SHD of arXiv 2407.03111.

    With `n_experiences` k (2 if None) the last k - 1 speakers come one at a time, `new_speaker` last of all, and
    experience 0 has all the others. They come in ascending order, or shuffled with `seed`. The test stream has one
    experience per training experience, of the same speakers, so that forgetting can be seen;
    `benchmark.speakers_in_experience` lists them.

    On the official split there are 10 training speakers. Speakers 4 and 5 are in the test file only; they are left out
    of the test stream and form `benchmark.unseen_stream`, of one experience, which has a task label of its own if
    `return_task_id`. On the merged split all 12 speakers train and are tested, and there is no such stream.

    The default `new_speaker`, 11, is one of the two with the most training samples (998). `validation_by` can only
    be `"sample"`: an experience of one speaker has no speaker to hold out. All other options and attributes are those
    of `SplitSHD`.

    Raises:
        ValueError: if `new_speaker` is no training speaker, if there are too few of them for `n_experiences`, if
            `validation_by` is `"speaker"`, or if an option is out of range.
        FileNotFoundError: if SHD is neither there nor can be downloaded.
    """
    train, test = _load(dataset_root, n_time_steps, duration_ms, n_channels, binary, dtype)
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
) -> tuple[SHD, SHD]:
    """Train and test file, binned alike.

    Raises:
        ValueError: they are the same file under two names.
    """

    def file(train: bool) -> SHD:
        return SHD(
            dataset_root,
            train=train,
            n_time_steps=n_time_steps,
            duration_ms=duration_ms,
            n_channels=n_channels,
            binary=binary,
            dtype=dtype,
        )

    train, test = file(True), file(False)
    if train.sha256 == test.sha256:
        raise ValueError(
            f"shd_train.h5 and shd_test.h5 are the same file, SHA-256 {train.sha256[:16]}...: one is wrong."
        )
    return train, test
