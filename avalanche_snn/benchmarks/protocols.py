"""The protocols, for any pair of raster data sets: what the CamelCase benchmarks apply to SHD and to synthetic data.

Options that all four share:

- `return_task_id`: a task label for every experience instead of 0 for all.
- `seed`, `shuffle`: whether the order of classes (or speakers) is shuffled, and the seed of that order, which decides
  nothing else. The order for a seed is the one Avalanche's generators give; torch's global random state is untouched.
- `fixed_class_order`: the order itself, instead of `seed` and `shuffle`. Classes it does not name are left out.
- `class_ids_from_zero_in_each_exp`, `class_ids_from_zero_from_first_exp`: Avalanche's relabelling of classes; without
  it classes keep the labels of the data set.
- `train_transform`, `eval_transform`: applied to each raster, float32 `[T, C]`, of the train stream and of all others.
- `split`, `split_seed`: `"official"` trains on the train file and tests on the test file; `"merged"` draws 80 % of both
  files together for training, plainly at random, with `split_seed`. Results on the two are not comparable.
- `validation`, `validation_by`: a fraction of the *training* samples held out as `benchmark.valid_stream`, with one
  experience per training experience: by `"sample"` that fraction of every class, spread evenly over its speakers; by
  `"speaker"` that fraction of the training speakers. Drawn with `split_seed`: the same for every seed and protocol.

Every data set in a stream has the attributes `sample_ids` (position in the train file followed by the test file) and
`speakers`. The benchmark has `dataset_name`, `dataset_sha256` (over both files), `split`, `split_seed`, `class_names`
(by the labels of the data set), `n_time_steps` and `n_channels`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from avalanche.benchmarks import NCScenario, NIScenario

from avalanche_snn.benchmarks.orders import class_order, shuffled
from avalanche_snn.benchmarks.pool import RasterTransform, SamplePool
from avalanche_snn.benchmarks.scenarios import new_classes_scenario, new_speakers_scenario
from avalanche_snn.benchmarks.splits import SplitName, ValidationBy
from avalanche_snn.datasets import RasterDataset


def split_classes(
    train: RasterDataset,
    test: RasterDataset,
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
) -> NCScenario:
    """Give every experience the same number of new classes; the options are those of this module.

    Raises:
        ValueError: if `n_experiences` does not divide the number of classes, or an option is out of range.
    """
    pool = SamplePool(
        train,
        test,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
        train_transform=train_transform,
        eval_transform=eval_transform,
    )
    order = class_order(pool.targets, shuffle=shuffle, seed=seed, fixed_class_order=fixed_class_order)
    if n_experiences < 1 or len(order) % n_experiences:
        raise ValueError(f"n_experiences must divide the {len(order)} classes evenly, {n_experiences} does not")
    return new_classes_scenario(
        pool,
        order,
        [len(order) // n_experiences] * n_experiences,
        return_task_id=return_task_id,
        class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
    )


def class_incremental(
    train: RasterDataset,
    test: RasterDataset,
    *,
    n_pretrain_classes: int,
    new_class: int,
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
) -> NCScenario:
    """Pre-train on `n_pretrain_classes` classes, then one class an experience, `new_class` as the last of all.

    The other classes come in ascending order, or shuffled; a `fixed_class_order` must end with `new_class`. The other
    options are those of this module.

    Raises:
        ValueError: if `new_class` is no class of the data or not the last of `fixed_class_order`, if
            `n_pretrain_classes` leaves no class before or after it, or if an option is out of range.
    """
    pool = SamplePool(
        train,
        test,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
        train_transform=train_transform,
        eval_transform=eval_transform,
    )
    order = class_order(pool.targets, shuffle=shuffle, seed=seed, fixed_class_order=fixed_class_order)
    if fixed_class_order is None:
        if new_class not in order:
            raise ValueError(f"new_class must be one of the classes {sorted(order)}, not {new_class}")
        order = [label for label in order if label != new_class] + [new_class]
    elif order[-1:] != [new_class]:
        raise ValueError(
            f"fixed_class_order must end with new_class={new_class}, which is learned last, but is {order}"
        )
    return new_classes_scenario(
        pool,
        order,
        _pretraining_then_one_by_one(len(order), n_pretrain_classes),
        return_task_id=return_task_id,
        class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
    )


def multi_class_incremental(
    train: RasterDataset,
    test: RasterDataset,
    *,
    n_pretrain_classes: int,
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
) -> NCScenario:
    """Pre-train on `n_pretrain_classes` classes, then one class an experience, in label order unless shuffled or fixed.

    The other options are those of this module.

    Raises:
        ValueError: if `n_pretrain_classes` leaves no class before or after it, or if an option is out of range.
    """
    pool = SamplePool(
        train,
        test,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
        train_transform=train_transform,
        eval_transform=eval_transform,
    )
    order = class_order(pool.targets, shuffle=shuffle, seed=seed, fixed_class_order=fixed_class_order)
    return new_classes_scenario(
        pool,
        order,
        _pretraining_then_one_by_one(len(order), n_pretrain_classes),
        return_task_id=return_task_id,
        class_ids_from_zero_in_each_exp=class_ids_from_zero_in_each_exp,
        class_ids_from_zero_from_first_exp=class_ids_from_zero_from_first_exp,
    )


def sample_incremental(
    train: RasterDataset,
    test: RasterDataset,
    *,
    new_speaker: int,
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
) -> NIScenario:
    """Pre-train on some of the training speakers with all classes, then one speaker an experience, `new_speaker` last.

    With `n_experiences` (2 if None) the last `n_experiences - 1` speakers come one at a time and experience 0 has all
    the others; they come in ascending order, or shuffled. The test stream has one experience per training experience,
    of the same speakers. Speakers that are in the test data only form `benchmark.unseen_stream`, of one experience,
    and are in no other stream; with task labels they have one of their own. `benchmark.speakers_in_experience` lists
    the speakers of each experience. The other options are those of this module.

    Raises:
        ValueError: if `new_speaker` is no training speaker, if there are too few of them for `n_experiences`, if
            validation is asked for by speaker (an experience of one speaker has none to spare), or if an option is
            out of range.
    """
    pool = SamplePool(
        train,
        test,
        split=split,
        split_seed=split_seed,
        validation=validation,
        validation_by=validation_by,
        train_transform=train_transform,
        eval_transform=eval_transform,
    )
    if validation and validation_by == "speaker":
        raise ValueError(
            "validation_by='speaker' cannot hold out a speaker of an experience that has only one; take 'sample'"
        )
    training_speakers: list[int] = np.unique(pool.speakers[pool.roles.train]).tolist()
    if new_speaker not in training_speakers:
        if new_speaker in pool.speakers:
            raise ValueError(
                f"speaker {new_speaker} is only in the test data of split={split!r} (benchmark.unseen_stream), so it "
                f"cannot be learned; take one of the training speakers {training_speakers}, or split='merged'"
            )
        raise ValueError(f"new_speaker must be one of the training speakers {training_speakers}, not {new_speaker}")
    n_new = 1 if n_experiences is None else n_experiences - 1
    if not 1 <= n_new < len(training_speakers):
        raise ValueError(
            f"n_experiences must lie between 2 and {len(training_speakers)}, the number of training speakers, "
            f"not {n_experiences}"
        )
    others = [speaker for speaker in training_speakers if speaker != new_speaker]
    order = [*(shuffled(others, seed) if shuffle else others), new_speaker]
    groups = [order[:-n_new], *([speaker] for speaker in order[-n_new:])]
    return new_speakers_scenario(pool, groups, return_task_id=return_task_id)


def _pretraining_then_one_by_one(n_classes: int, n_pretrain_classes: int) -> list[int]:
    """How many classes each experience brings."""
    if not 1 <= n_pretrain_classes < n_classes:
        raise ValueError(
            f"n_pretrain_classes must leave at least one of the {n_classes} classes to learn later, "
            f"1 <= n_pretrain_classes <= {n_classes - 1}, not {n_pretrain_classes}"
        )
    return [n_pretrain_classes] + [1] * (n_classes - n_pretrain_classes)
