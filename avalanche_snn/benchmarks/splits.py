"""Which samples train, validate and test: decided once for a data set, before any experience is made.

Samples are named by their position in the concatenation of the train file and the test file (train first); these
positions are the `sample_ids` of every stream. Nothing here looks at the seed of a benchmark, so that no seed's
validation or test sample is another seed's training sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

SplitName = Literal["official", "merged"]
"""`official`: the train and test files as published. `merged`: both files together, split again 80/20 at random."""

ValidationBy = Literal["sample", "speaker"]
"""`sample`: the same fraction of every class and speaker. `speaker`: whole speakers."""

MERGED_TRAIN_FRACTION = 0.8


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of sample ids, each int64 `[n]` and ascending; `valid` is empty if none was asked for."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]


def split_samples(
    targets: NDArray[np.int64],
    speakers: NDArray[np.int64],
    n_train_file: int,
    *,
    split: SplitName = "official",
    split_seed: int = 0,
    validation: float = 0.0,
    validation_by: ValidationBy = "sample",
) -> Split:
    """Decide the role of every sample.

    Args:
        targets: int64 `[n]`, class of every sample of the train file, then of the test file.
        speakers: int64 `[n]`, speaker of every sample, in the same order.
        n_train_file: how many of the `n` samples are from the train file.
        split: `"official"` keeps the files; `"merged"` draws 80 % of all samples for training, plainly at random
            (not by class or speaker), as arXiv 2407.03111 does.
        split_seed: seeds the merged split and the choice of validation samples, and nothing else does.
        validation: fraction of the *training* samples that is held out, `0 <= validation < 1`.
        validation_by: `"sample"` holds out that fraction of every class, spread evenly over its speakers;
            `"speaker"` that fraction of the training speakers (at least one), with all they say.

    Raises:
        ValueError: for an unknown split or way of validation, a negative `split_seed`, or a fraction that is out of
            range or leaves nothing to train on.
    """
    if split not in get_args(SplitName):
        raise ValueError(f"split must be 'official' or 'merged', not {split!r}")
    if validation_by not in get_args(ValidationBy):
        raise ValueError(f"validation_by must be 'sample' or 'speaker', not {validation_by!r}")
    if not 0 <= validation < 1:
        raise ValueError(
            f"validation is the fraction of the training samples to hold out, 0 <= validation < 1, not {validation}"
        )
    if split_seed < 0:
        raise ValueError(f"split_seed must be 0 or more, not {split_seed}")

    n_samples = len(targets)
    if split == "official":
        train, test = np.arange(n_train_file), np.arange(n_train_file, n_samples)
    else:
        order = np.random.default_rng(split_seed).permutation(n_samples)
        n_train = round(MERGED_TRAIN_FRACTION * n_samples)
        train, test = np.sort(order[:n_train]), np.sort(order[n_train:])

    if validation == 0:
        return Split(train, np.empty(0, dtype=np.int64), test)
    # A generator of its own: which samples are held out is independent of the draw of the merged split.
    generator = np.random.default_rng([split_seed, 1])
    if validation_by == "sample":
        held_out = _fraction_of_every_class(targets[train], speakers[train], validation, generator)
    else:
        held_out = _whole_speakers(speakers[train], validation, generator)
    return Split(train[~held_out], train[held_out], test)


def _fraction_of_every_class(
    targets: NDArray[np.int64], speakers: NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark that fraction of every class, at least one sample of each, spread evenly over the class's speakers."""
    held_out = np.zeros(len(targets), dtype=np.bool_)
    for label in np.unique(targets):
        members = generator.permutation(np.flatnonzero(targets == label))
        members = members[np.argsort(speakers[members], kind="stable")]
        n_members = len(members)
        n_held_out = max(1, round(fraction * n_members))
        if n_held_out == n_members:
            raise ValueError(
                f"validation={fraction} would hold out all {n_members} training samples of class {label}; "
                "take a smaller fraction"
            )
        # Evenly spaced positions, in whole numbers, with one random offset: every speaker gives its share.
        positions = (np.arange(n_held_out) * n_members + generator.integers(n_members)) // n_held_out
        held_out[members[positions]] = True
    return held_out


def _whole_speakers(speakers: NDArray[np.int64], fraction: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Mark all samples of that fraction of the speakers, at least one speaker."""
    present = np.unique(speakers)
    n_held_out = max(1, round(fraction * len(present)))
    if n_held_out == len(present):
        raise ValueError(
            f"validation={fraction} by speaker would hold out all {len(present)} training speakers; "
            "take a smaller fraction"
        )
    return np.isin(speakers, generator.choice(present, n_held_out, replace=False))
